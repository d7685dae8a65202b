"""The gRPC server beside the HTTP server, on the same event loop.

It begins once the models are ready, and ends before they are freed: health says at once that
it drains, no call is taken any more, and those that were are answered.
"""

import asyncio
import os
from collections.abc import Mapping
from types import MappingProxyType

# Before the import: it writes past our logs, and what fails is raised as well.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # noqa: TID251 -- set, not read

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from service.access.guard import Guard
from service.access.loopback import LOOPBACK
from service.lifecycle import Service
from service.repository.in_use import InUse
from service.rpc.access import Access
from service.rpc.address import CONTROL_GRPC_PORT, GRPC_PORT, refusal, target
from service.rpc.calls import Method, handler
from service.rpc.credentials import server_credentials
from service.rpc.health import Health
from service.rpc.management import ManagementMethods
from service.rpc.messages import SERVICE, protocol
from service.rpc.methods import Methods
from service.rpc.streams import Reflection, Streams
from service.rpc.unknown_methods import make_server
from service.telemetry.observation import Observer
from service.tls.rotation import Rotation

_HEALTH = "grpc.health.v1.Health"

# A peer that is silent for a minute is asked whether it lives, so that a call of a dead one
# does not hold its place for gRPC's two hours.
_PING_AFTER_MS = 60_000
_PING_TIMEOUT_MS = 20_000

# A client may ask every ten seconds, what most keep-alive guides set; gRPC takes pings more
# often than every five minutes for abuse and closes the connection.
_CLIENT_PING_INTERVAL_MS = 10_000

# A connection is renewed after half an hour, which no unary call notices: clients spread anew
# over the workers, and one that is idle does not stay for ever. gRPC's own bound of idleness would
# close it at once, and a call that is just on its way would fail.
_LONGEST_CONNECTION_MS = 1_800_000

# Beside the calls that wait in a queue, those that look after the server, and the streams that do.
_CALLS_BESIDE_QUEUE = 100
_MOST_STREAMS = 50

# For answers on their way, once there is no call to answer: a stream that only looks at the
# server, such as reflection's, would hold up the end for all of the grace time.
_LINGER_S = 1.0

_OPTIONS = MappingProxyType(
    {
        "grpc.keepalive_time_ms": _PING_AFTER_MS,
        "grpc.keepalive_timeout_ms": _PING_TIMEOUT_MS,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.max_connection_age_ms": _LONGEST_CONNECTION_MS,
        "grpc.http2.min_ping_interval_without_data_ms": _CLIENT_PING_INTERVAL_MS,
        # How large an answer may be is the models' matter, as it is over HTTP.
        "grpc.max_send_message_length": -1,
    }
)


class RpcServer:
    """Serves the protocol, its health and its reflection; made inside a running event loop.

    Args:
        service: started before and closed after this one.
        guard: knows the API keys, where they are needed.
        setting: names the port; only over that of control, which is this machine's, models are
            loaded and unloaded. No browser speaks HTTP/2 to it without TLS, so there is no page
            to be kept off by its origin.
        tls: has the certificate, where one is asked for; the port of control needs none.
    """

    def __init__(
        self,
        service: Service,
        guard: Guard | None = None,
        setting: str = GRPC_PORT,
        tls: Rotation | None = None,
    ) -> None:
        settings = service.settings
        self._service = service
        self._setting = setting
        self._is_control = setting == CONTROL_GRPC_PORT
        # Held here: gRPC calls what is in them for as long as it serves.
        self._credentials = None if tls is None or self._is_control else server_credentials(tls)
        self._calls = InUse()
        service.metrics.watch("requests_in_flight", lambda: self._calls.count)
        self._streams = Streams(_MOST_STREAMS)
        self._health = Health(SERVICE, service.draining, self._streams)
        methods = self._methods()
        observer = Observer(service.metrics, settings.access_log, service.tracing)
        options = _OPTIONS | {
            # Alone, a port that is taken is refused.
            "grpc.so_reuseport": int(service.plan.workers > 1),
            "grpc.max_receive_message_length": settings.max_body_bytes,
            "grpc.max_connection_age_grace_ms": round(settings.request_timeout_s * 1000),
            "grpc.server_handshake_timeout_ms": round(settings.idle_timeout_s * 1000),
            "grpc.max_allowed_incoming_connections": settings.max_connections,
        }
        self._server = make_server(
            interceptors=() if guard is None else (Access(guard, observer, methods),),
            options=tuple(options.items()),
            maximum_concurrent_rpcs=settings.max_queue_size + _CALLS_BESIDE_QUEUE,
        )
        self._add_methods(methods, observer)

    async def start(self) -> int:
        """Listen; return the port.

        Raises:
            StartError: the address cannot be had.
        """
        settings = self._service.settings
        host = LOOPBACK if self._is_control else settings.host
        port: int = getattr(settings, self._setting) or 0
        try:
            bound = self._bind(target(host, port))
        except RuntimeError:
            reason = "the address is in use, or not of this machine"
            raise refusal(host, port, self._setting, reason) from None
        await self._server.start()
        return bound

    async def stop(self, grace_s: float) -> None:
        """Take no call any more; what is not answered after ``grace_s`` seconds is cancelled."""
        self._health.end()
        stopping = asyncio.ensure_future(self._server.stop(grace_s))
        ended = asyncio.ensure_future(self._calls.ended())
        await asyncio.wait((stopping, ended), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        await self._server.stop(min(grace_s, _LINGER_S))
        await stopping

    def _bind(self, address: str) -> int:
        bound: int
        if self._credentials is None:
            bound = self._server.add_insecure_port(address)
        else:
            bound = self._server.add_secure_port(address, self._credentials)
        return bound

    def _methods(self) -> Mapping[str, Method]:
        messages = protocol().messages
        management = ManagementMethods(self._service, messages, takes_commands=self._is_control)
        return {
            **Methods(self._service, messages).table(),
            **management.table(),
        }

    def _add_methods(self, methods: Mapping[str, Method], observer: Observer) -> None:
        pool, messages = protocol()
        patience_s = self._service.settings.body_timeout_s
        handlers = {
            name: handler(
                observer,
                self._calls,
                name,
                getattr(messages, f"{name}Request"),
                method,
                patience_s,
            )
            for name, method in methods.items()
        }
        self._server.add_registered_method_handlers(SERVICE, handlers)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for file in (health_pb2, reflection_pb2):
            pool.AddSerializedFile(file.DESCRIPTOR.serialized_pb)
        names = (SERVICE, _HEALTH, reflection.SERVICE_NAME)
        servicer = Reflection(names, pool, self._streams)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, self._server)
