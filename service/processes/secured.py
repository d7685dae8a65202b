"""HTTPS: the connections of ``connection`` behind TLS, but for those to the control port.

What comes to the control port has not left this machine, where nobody listens in who could not
read the key as well; and no certificate is for the loopback address.
"""

import asyncio
import ssl
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.utils import get_local_addr
from uvicorn.server import ServerState

from service.access.loopback import LOOPBACK
from service.errors import MalformedRequest, TooManyConnections
from service.processes.bounded import Header, whole_answer
from service.processes.connection import Connection
from service.settings import Settings
from service.telemetry.observation import Observer
from service.tls.layer import TlsLayer

log = structlog.get_logger()

# At the end, for hands that are just being shaken: two round trips to most clients.
_UNDER_WAY_S = 1.0

# What OpenSSL calls a request of HTTP in the place of a handshake.
_HTTP = "HTTP_REQUEST"


class SecuredConnection(TlsLayer):
    """Counts as a connection from its first moment, and becomes one of HTTP with the handshake."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        known: Any = config.loaded_app
        settings: Settings = known.state.service.settings
        super().__init__(known.state.tls.current.context, settings.idle_timeout_s)
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._settings = settings
        self._observer: Observer = known.state.observer
        self._connections: set[Any] = server_state.connections
        self._ending = False

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the handshake, or go out of the way."""
        if get_local_addr(transport) == (LOOPBACK, self._settings.control_port):
            plain = Connection(self._config, self._state, self._app_state)
            transport.set_protocol(plain)
            plain.connection_made(transport)
        elif len(self._connections) >= self._settings.max_connections:
            # To tell why would take a handshake, and it is work that there is too much of.
            error = TooManyConnections("the server has no connection free")
            request_id = self._observer.request_id(None)
            self._observer.record("-", "", "unmatched", error.status, request_id, 0.0, error)
            transport.close()
        else:
            self._connections.add(self)
            super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything."""
        self._connections.discard(self)
        super().connection_lost(exc)

    def open(self) -> asyncio.Protocol:
        """Return the connection of HTTP, which counts in the place of this one."""
        self._connections.discard(self)
        state = _SecuredState(self._state, self._settings.tls_hsts_s)
        above = Connection(self._config, state, self._app_state)
        if self._ending:
            asyncio.get_running_loop().call_soon(above.shutdown)
        return above

    def refuse(self, error: ssl.SSLError) -> None:
        """Tell a client that takes the port for one of HTTP."""
        log.debug("handshake failed", reason=error.reason)
        if error.reason == _HTTP:
            told = MalformedRequest("this port speaks TLS: ask it by https")
            self._transport.write(whole_answer(told, self._observer, self._state.default_headers))

    def shutdown(self) -> None:
        """Give the handshake its last moment; called by uvicorn at the end."""
        self._ending = True
        self.hurry(_UNDER_WAY_S)


class _SecuredState:
    """uvicorn's state, with one header more for every answer.

    A browser that reads it asks this host by TLS alone; what it reads over plain HTTP it would
    overlook, and a server must not say it there (RFC 6797, 7.2).
    """

    def __init__(self, state: ServerState, max_age_s: int) -> None:
        self.connections = state.connections
        self.tasks = state.tasks
        self.total_requests = 0
        self._state = state
        self._header = (b"strict-transport-security", b"max-age=%d" % max_age_s)

    @property
    def default_headers(self) -> list[Header]:
        """The headers of every answer."""
        return [*self._state.default_headers, self._header]
