"""Plain ASGI around the app: request id, log line, metrics, security headers, last resort."""

import asyncio
import time

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem
from service.errors import AccessError, InternalError, ServiceError, ShuttingDown
from service.telemetry.conventions import http_span
from service.telemetry.observation import CLIENT_CLOSED_REQUEST, Observer

log = structlog.get_logger()

REQUEST_ID = b"x-request-id"

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

_RAW_SECURITY_HEADERS = [
    (name.lower().encode(), value.encode()) for name, value in _SECURITY_HEADERS.items()
]

_UNEXPECTED = InternalError("an unexpected error; the log has it under the request id")
_ENDED = ShuttingDown("the server ended before this request could be answered")


class SecurityHeaders:
    """Adds the security headers that an answer does not set by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Observation:
    """Gives a request its id, catches what nobody caught, counts it and logs it.

    Args:
        app: the app inside.
        observer: shared with whatever answers requests beside the app.
    """

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answer = _Answer(send, self._request_id(scope))
        scope.setdefault("state", {})["request_id"] = answer.request_id
        try:
            await self._guard(scope, receive, answer)
        finally:
            self._record(scope, answer, time.perf_counter() - began)

    async def _guard(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            pass
        except AccessError as error:  # from before the app
            await answer.fail(error, scope["path"])
        except asyncio.CancelledError:  # the grace time is over
            if not answer.begun:
                await answer.fail(_ENDED, scope["path"])
            raise
        except Exception:
            log.exception("unexpected error", request_id=answer.request_id)
            if answer.begun:
                raise  # all that is left is to close the connection
            await answer.fail(_UNEXPECTED, scope["path"])

    def _record(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method, path = scope["method"], scope["path"]
        status, request_id = answer.status, answer.request_id
        error = answer.error or scope["state"].get("error")
        trace = scope["state"].get("trace")
        self._observer.record(method, path, route, status, request_id, seconds, error, trace)
        if trace is not None:
            structlog.contextvars.unbind_contextvars("trace_id")
            name, attributes = http_span(scope["scheme"], method, path, route, status)
            trace.end(name, attributes, status, request_id, error)

    def _request_id(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == REQUEST_ID:
                return self._observer.request_id(value.decode("latin-1"))
        return self._observer.request_id(None)


class _Answer:
    """Sends an answer with the request's id and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.status = CLIENT_CLOSED_REQUEST
        self.begun = False
        self.error: ServiceError | None = None
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self.status = message["status"]
            # A new list: an answer that is given to every client has one of its own.
            message["headers"] = [*message["headers"], (REQUEST_ID, self.request_id.encode())]
        await self._send(message)

    async def fail(self, error: ServiceError, path: str) -> None:
        self.error = error
        answer = problem(error, path, self.request_id)
        length = (b"content-length", b"%d" % len(answer.body))
        headers = [*answer.raw_headers, length, *_RAW_SECURITY_HEADERS]
        start = {"type": "http.response.start", "status": answer.status, "headers": headers}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": answer.body})
