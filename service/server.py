"""The process around the app: the socket, uvicorn, the signals, the end."""

import asyncio
import logging
import math
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal

import uvicorn

from service.app import create_app
from service.board import Phase
from service.errors import StartError
from service.lifecycle import Service
from service.logs import configure_logs
from service.settings import Settings

Announce = Callable[[str], None]

# In a checkout of this project the example is one that can be pasted as it is.
EXAMPLE_IMAGE = Path("tests/data/digit_7.png")

# Longer than the minute that proxies keep an idle upstream connection: whoever closes first
# must not be the side that may just be receiving a request.
_KEEP_ALIVE_S = 75


def run(settings: Settings, announce: Announce) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    Args:
        settings: the operator's.
        announce: told the lines that a person wants to see once the service is ready.

    Raises:
        StartError: the address cannot be had, or nothing can be served.
    """
    configure_logs(settings.log_format, settings.log_level)
    with _listener(settings.host, settings.port) as listener:
        app = create_app(settings)
        service: Service = app.state.service
        config = uvicorn.Config(
            app,
            http=_http_protocol(),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=math.ceil(settings.grace_s),
        )
        _serve(_Server(config, service, announce), service, listener)


def greeting(service: Service, address: tuple[str, int]) -> Iterator[str]:
    """Give the lines for a person: the page, and a request that works.

    Args:
        service: ready.
        address: the host and port that are listened on.
    """
    url = f"http://{_reachable(address[0])}:{address[1]}"
    yield f"Foldserve is ready: {url}/docs"
    model = _first_image_model(service)
    if model is not None:
        image = EXAMPLE_IMAGE if EXAMPLE_IMAGE.is_file() else "image.png"
        yield f"Try: curl --data-binary @{image} {url}/models/{model}/predict"


class _Server(uvicorn.Server):
    """uvicorn, with our way to begin and to end.

    uvicorn raises the signal again once it is done, and the process would die of it; an
    orderly end is exit status 0 here.
    """

    def __init__(self, config: uvicorn.Config, service: Service, announce: Announce) -> None:
        super().__init__(config)
        self._service = service
        self._announce = announce
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if not self.should_exit:
            for listener in sockets or []:
                for line in greeting(self._service, listener.getsockname()[:2]):
                    self._announce(line)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 -- uvicorn's
        # A signal may come in the middle of anything, a log line too: act on the loop's turn.
        if self._loop is None:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._end, self._loop)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Drain; a second signal does not wait for the drain delay, a third for nothing."""
        serving = self._service.phase is Phase.SERVING
        self._service.drain()
        if self.should_exit:
            self.force_exit = True
        elif serving and self._service.settings.drain_delay_s:
            loop.call_later(self._service.settings.drain_delay_s, self._stop)
        else:
            self._stop()

    def _stop(self) -> None:
        self.should_exit = True


def _http_protocol() -> type[asyncio.Protocol] | Literal["h11"]:
    """Return uvicorn's faster protocol, where there is a wheel for it, or the one in Python."""
    try:
        from service.connection import BoundedHead  # noqa: PLC0415 -- needs httptools
    except ImportError:  # pragma: no cover -- not on CPython, nor on Windows
        return "h11"  # has a bound of its own
    return BoundedHead


def _serve(server: _Server, service: Service, listener: socket.socket) -> None:
    # The one line that says why is ours; uvicorn would print a traceback above it, and so it
    # would of the lifespan that a last signal cuts short.
    logging.getLogger("uvicorn.error").addFilter(
        lambda _record: service.start_error is None and not server.force_exit
    )
    try:
        server.run(sockets=[listener])
    except SystemExit:
        if service.start_error is not None:
            raise service.start_error from None
        raise


@contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    """Bind before anything is loaded, so that a taken port is told at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # the latter of a name that no resolver would take
        reason = getattr(error, "strerror", None) or "it is no host name"
        raise StartError(f"FOLDSERVE_HOST={host}: {reason}") from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise StartError(
                f"cannot listen on {host} port {port}: {error.strerror};"
                " set FOLDSERVE_HOST and FOLDSERVE_PORT to an address that is free"
            ) from None
        yield listener


def _reachable(host: str) -> str:
    """Return a host that a client on this machine can use."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- not bound here
    return f"[{host}]" if ":" in host else host


def _first_image_model(service: Service) -> str | None:
    for entry in service.repository:
        manifest = entry.predictor.model.manifest if entry.predictor else None
        if manifest is not None and manifest.image is not None:
            return entry.name
    return None
