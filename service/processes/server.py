"""The server around the app: uvicorn, the orders to end, the greeting.

Alone, it is told to end by signals; as one of several workers, by the process above it.
"""

import asyncio
import logging
import math
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType
from typing import Literal

import structlog
import uvicorn

from service.access.secrets import Secrets
from service.api.express import ExpressLane
from service.app import create_app
from service.environment import variable
from service.errors import StartError
from service.lifecycle import Service
from service.machine.memory import settle
from service.machine.plan import Plan, plan_alone
from service.processes.backlog import take_no_more
from service.processes.greeting import greeting
from service.processes.handover import Handover
from service.processes.link import Link
from service.processes.listeners import BACKLOG, control_port, grpc_ports, listeners
from service.processes.watch import BEAT_S
from service.repository.hub import Hub
from service.settings import Settings
from service.telemetry.board import Phase
from service.telemetry.logs import configure_logs
from service.telemetry.metrics import Metrics
from service.tls.rotation import Rotation

log = structlog.get_logger()

# For how long a thread waits for Python's lock until it asks for it. One that ends a run needs it
# twice, to say so and to begin with the next, and by default asks after 5 ms, as long as a run.
_SWITCH_S = 1e-4

Announce = Callable[[str], None]

# How old another worker's gauges may be in a worker's answer, and a certificate that is none of
# today any more.
_EVERY_S = 1

# For connections that are being made to be made and accepted, and for calls of gRPC that came to
# be begun: more than a round trip to most clients. Meanwhile answers tell the clients of lasting
# connections that these end.
_UNDER_WAY_S = 0.2


def run(settings: Settings, announce: Announce, plan: Plan | None = None) -> None:
    """Serve as the only worker until SIGTERM or SIGINT, then drain and return.

    Args:
        settings: the operator's.
        announce: told the lines that a person wants to see once the service is ready.
        plan: of threads; by default that of a process that is alone.

    Raises:
        StartError: the address cannot be had, or nothing can be served.
    """
    configure_logs(settings.log_format, settings.log_level)
    plan = plan_alone(settings) if plan is None else plan
    log.info("starting", plan=plan.reason)
    with (
        grpc_ports(settings) as settings,
        control_port(settings) as (settings, control),
        listeners(settings.host, settings.port) as (listener,),
    ):
        service, config = _compose(settings, plan, Metrics(), Secrets())
        _serve(
            _Server(config, service, lambda lines: list(map(announce, lines))), [listener, *control]
        )


def work(
    settings: Settings,
    plan: Plan,
    metrics: Metrics,
    sockets: Sequence[socket.socket],
    link: Link,
    secrets: Secrets,
    handover: Handover,
) -> int:
    """Serve as one of several workers until the process above says otherwise or ends.

    Args:
        settings: the operator's.
        plan: of processes and threads.
        metrics: of this worker.
        sockets: to listen on: this worker's, and the one of control.
        link: to the process above, which is told whether this worker is ready or has failed.
        secrets: what their files held when they were last of use.
        handover: gives the connections that came to workers that are dead.

    Returns:
        The exit status.
    """
    configure_logs(settings.log_format, settings.log_level, metrics.worker)
    try:
        service, config = _compose(settings, plan, metrics, secrets, link)
        server = _Server(config, service, lambda lines: link.tell({"ready": lines}), link, handover)
        _serve(server, sockets)
    except StartError as error:
        link.tell({"failed": str(error)})
        return StartError.exit_status
    return 0


class _Server(uvicorn.Server):
    """uvicorn, with our way to begin and to end.

    uvicorn raises the signal again once it is done, and the process would die of it; an
    orderly end is exit status 0 here.

    Args:
        config: uvicorn's.
        service: inside the app.
        on_ready: told the greeting once connections are taken.
        link: gives the orders to end, in place of signals.
        handover: gives connections beside those that are accepted.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        on_ready: Callable[[list[str]], object],
        link: Link | None = None,
        handover: Handover | None = None,
    ) -> None:
        super().__init__(config)
        self.service = service
        self._on_ready = on_ready
        self._link = link
        self._handover = handover
        self._handed: set[asyncio.Task[object]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        if self._link is not None:
            self._link.listen(self._end)
            self._beat()
        state, metrics = self.server_state, self.service.metrics
        metrics.watch("connections", lambda: len(state.connections))
        lane: ExpressLane = self.config.loaded_app.state.express_lane
        metrics.watch("requests_in_flight", lambda: len(state.tasks) + lane.in_flight.count)
        await super().startup(sockets)
        if self._handover is not None:
            self._loop.add_reader(self._handover, self._take, self._handover)
        settle()
        if self.should_exit:
            self.service.drain()  # told to end before it served; who waits for it is answered
        else:
            for listener in (sockets or [])[:1]:  # behind it is the one of control
                self._on_ready(list(greeting(self.service, listener.getsockname()[:2])))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or []:
            take_no_more(listener)
        await asyncio.sleep(0.0 if self.force_exit else _UNDER_WAY_S)
        if self._handover is not None:
            asyncio.get_running_loop().remove_reader(self._handover)
        self.service.ending.set()
        await super().shutdown(sockets)

    def _take(self, handover: Handover) -> None:
        """Serve a connection that came to a worker that is dead, as if it had come here."""
        connection = handover.take()
        if connection is not None:
            loop = asyncio.get_running_loop()
            task = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
            self._handed.add(task)  # the loop itself holds tasks weakly
            task.add_done_callback(self._handed.discard)

    def _protocol(self) -> asyncio.Protocol:
        """Return what speaks on one more connection, made as uvicorn makes it."""
        protocol: type[asyncio.Protocol] = self.config.http_protocol_class
        return protocol(  # type: ignore[call-arg]  # each of uvicorn's takes these
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def _beat(self) -> None:
        """Tell the process above each second that the loop goes round."""
        self.service.metrics.slot.beat()
        asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if self._link is not None:
            yield
            return
        with super().capture_signals():
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- uvicorn's
        # A signal may come in the middle of anything, a log line too: act on the loop's turn.
        if self._loop is None:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        """Drain; a second signal does not wait for the drain delay, a third for nothing."""
        serving = self.service.phase is Phase.SERVING
        self.service.drain()
        if self.should_exit:
            self.force_exit = True
        elif serving and self.service.settings.drain_delay_s:
            loop = asyncio.get_running_loop()
            loop.call_later(self.service.settings.drain_delay_s, self._stop)
        else:
            self._stop()

    def _stop(self) -> None:
        self.should_exit = True


def _http_protocol(settings: Settings) -> type[asyncio.Protocol] | Literal["h11"]:
    """Return uvicorn's faster protocol, where there is a wheel for it, or the one in Python.

    Raises:
        StartError: TLS is asked for, and there is no such wheel.
    """
    secure = settings.tls_certificate is not None
    try:
        from service.processes.connection import Connection  # noqa: PLC0415 -- needs httptools
        from service.processes.secured import SecuredConnection  # noqa: PLC0415 -- likewise
    except ImportError:  # pragma: no cover -- not on CPython, nor on Windows
        if secure:
            raise StartError(f"{variable('tls_certificate')}: TLS needs httptools") from None
        return "h11"  # has a bound of its own
    return SecuredConnection if secure else Connection


def _compose(
    settings: Settings,
    plan: Plan,
    metrics: Metrics,
    secrets: Secrets,
    hub: Hub | None = None,
) -> tuple[Service, uvicorn.Config]:
    """Return the service, and uvicorn's configuration of the app around it."""
    app = create_app(settings, plan=plan, metrics=metrics, hub=hub, secrets=secrets)
    tls: Rotation | None = app.state.tls

    async def each_second() -> None:
        metrics.publish()
        if tls is not None:
            tls.look()

    config = uvicorn.Config(
        app,
        http=_http_protocol(settings),
        loop=_event_loop(),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=math.ceil(settings.idle_timeout_s),
        timeout_graceful_shutdown=math.ceil(settings.grace_s),
        callback_notify=each_second,
        timeout_notify=_EVERY_S,
    )
    return app.state.service, config


def _event_loop() -> Literal["uvloop", "asyncio"]:
    """Return uvicorn's name of the fastest event loop that is installed."""
    return "uvloop" if find_spec("uvloop") else "asyncio"


def _serve(server: _Server, sockets: Sequence[socket.socket]) -> None:
    sys.setswitchinterval(_SWITCH_S)
    # The one line that says why is ours; uvicorn would print a traceback above it, and so it
    # would of the lifespan that a last signal cuts short.
    logging.getLogger("uvicorn.error").addFilter(
        lambda _record: server.service.start_error is None and not server.force_exit
    )
    try:
        server.run(sockets=[*sockets])
    except SystemExit:
        if server.service.start_error is not None:
            raise server.service.start_error from None
        raise
