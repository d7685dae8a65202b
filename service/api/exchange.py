"""One request and its answer, in plain ASGI: reading bodies, waiting, writing.

The inference endpoints run for every request a client has, so they are spared the objects of
a framework: an ``Exchange`` holds the three ASGI arguments and looks only at what is asked.
https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import asyncio
import functools
import math
import time
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import BodyTimeout, BodyTooLarge, CapacityError
from service.inference.predictor import Predictor
from service.lifecycle import Service
from service.repository.entries import Entry
from service.telemetry.timing import Timing
from service.wire.encodings import compress, decompress

if TYPE_CHECKING:
    from service.telemetry.spans import Trace

Answer = TypeVar("Answer")
Headers = Sequence[tuple[bytes, bytes]]

JSON = b"application/json"

# What is unpacked within a fraction of a millisecond, even where it is repetitive.
_SMALL_BODY = 2**10
# What is packed within a millisecond.
_SMALL_ANSWER = 2**15


class Exchange:
    """One request on the direct lane.

    Args:
        scope: of the connection; its path parameters are known.
        receive: the client's messages.
        send: the answer's.
    """

    __slots__ = ("_receive", "_send", "scope", "service", "timing", "trace")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.service: Service = scope["app"].state.service
        self.timing = Timing()
        self.trace = self._begin_trace()
        self._receive = receive
        self._send = send

    @property
    def name(self) -> str:
        """The model's name in the path."""
        name: str = self.scope["path_params"]["name"]
        return name

    @property
    def version(self) -> str | None:
        """The version in the path."""
        version: str | None = self.scope["path_params"].get("version")
        return version

    def serving(self) -> tuple[Entry, Predictor]:
        """Return what answers for the model of the path; raises as ``Repository.serving``."""
        entry, predictor = self.service.repository.serving(self.name, self.version)
        if self.trace is not None:
            self.trace.model = entry.name, entry.version
        return entry, predictor

    def header(self, name: bytes) -> bytes | None:
        """Return the header of a lower-case name; one that came twice is a list (RFC 9110, 5.3)."""
        return _header(self.scope, name)

    async def read_body(self) -> bytes:
        """Return the whole body, unpacked; raises as ``read_body``."""
        return await read_body(self.scope, self._receive, self.service)

    async def while_connected(self, answer: Awaitable[Answer]) -> Answer:
        """Return what is awaited; it is cancelled at once if the client goes away.

        Args:
            answer: what the client waits for; the body has been read.

        Raises:
            ClientDisconnect: the client went away.
        """
        return await _while_connected(self._receive, answer)

    async def answer(self, body: bytes, content_type: bytes = JSON, headers: Headers = ()) -> None:
        """Send a 200 answer, packed if the client asks for it."""
        accepted = self.header(b"accept-encoding")
        if accepted is not None:
            body, coding = await self._packed(body, accepted.decode("latin-1"))
            if coding is not None:
                packed = (b"content-encoding", coding.encode()), (b"vary", b"accept-encoding")
                headers = [*headers, *packed]
        await self.send(200, body, [(b"content-type", content_type), *headers])

    def _begin_trace(self) -> "Trace | None":
        """Begin a trace, where they are wanted, that the lines of the log name from here on."""
        tracing = self.service.tracing
        if tracing is None:
            return None
        trace = tracing.begin(self._text, self.timing)
        self.scope["state"]["trace"] = trace
        structlog.contextvars.bind_contextvars(trace_id=trace.trace_id)
        return trace

    def _text(self, name: str) -> str | None:
        value = self.header(name.encode())
        return None if value is None else value.decode("latin-1")

    async def _packed(self, body: bytes, accepted: str) -> tuple[bytes, str | None]:
        if len(body) <= _SMALL_ANSWER:
            return compress(body, accepted)
        deadline = time.monotonic() + self.service.settings.request_timeout_s
        try:
            work = functools.partial(compress, body, accepted)
            return await self.service.decoder.decode(work, deadline)
        except CapacityError:  # as it is, it is as good an answer
            return body, None

    async def send(self, status: int, body: bytes, headers: Headers) -> None:
        """Send an answer in one piece."""
        complete = [
            *headers,
            (b"content-length", b"%d" % len(body)),
            (b"server-timing", self.timing.server_timing()),
            # A page's other headers say nothing of data that no browser shows.
            (b"x-content-type-options", b"nosniff"),
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": complete})
        await self._send({"type": "http.response.body", "body": body})


def service_of(request: Request) -> Service:
    """Return the service that the app was composed with."""
    service: Service = request.app.state.service
    return service


async def read_body(
    scope: Scope, receive: Receive, service: Service, most: float = math.inf
) -> bytes:
    """Return the whole body, which may come without a content type and without a length.

    Args:
        scope: of the request.
        receive: gives its parts.
        service: whose settings say how much is taken.
        most: bytes, where that is less.

    Raises:
        BodyTooLarge: by its stated or its real length, or unpacked; no more is kept.
        BodyTimeout: it was not there in its time, however slowly it goes on.
        UnsupportedEncoding: the body is packed in a way that is not read.
        InvalidEncoding: it is not what its encoding says.
        ClientDisconnect: the client went away.
    """
    settings = service.settings
    limit = int(min(settings.max_body_bytes, most))
    stated = _header(scope, b"content-length") or b"0"
    if stated.isdigit() and int(stated) > limit:
        raise BodyTooLarge(f"the body is larger than {limit} bytes")
    body = await _receive_all(receive, limit, settings.body_timeout_s)
    encoding = _header(scope, b"content-encoding")
    if encoding is None:
        return body
    unpack = functools.partial(decompress, body, encoding.decode("latin-1"), limit)
    if len(body) <= _SMALL_BODY:
        return unpack()
    deadline = time.monotonic() + settings.request_timeout_s
    return await _while_connected(receive, service.decoder.decode(unpack, deadline))


async def _receive_all(receive: Receive, limit: int, patience_s: float) -> bytes:
    try:
        async with asyncio.timeout(patience_s):  # of all pieces: who drips them would never end
            chunks = await _receive_chunks(receive, limit)
    except TimeoutError:
        raise BodyTimeout(f"the body was not there after {patience_s:g} seconds") from None
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _receive_chunks(receive: Receive, limit: int) -> list[bytes]:
    message = await _next(receive)
    chunk: bytes = message.get("body", b"")
    chunks = [chunk]
    length = len(chunk)
    while message.get("more_body", False) and length <= limit:
        message = await _next(receive)
        chunk = message.get("body", b"")
        length += len(chunk)
        chunks.append(chunk)
    if length > limit:
        raise BodyTooLarge(f"the body is larger than {limit} bytes")
    return chunks


async def _next(receive: Receive) -> Any:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


async def _while_connected(receive: Receive, answer: Awaitable[Answer]) -> Answer:
    work = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _header(scope: Scope, name: bytes) -> bytes | None:
    found: list[bytes] = [value for key, value in scope["headers"] if key == name]
    return b", ".join(found) if found else None


def json_answer(content: Any) -> Response:
    """Return a 200 answer; arrays and dataclasses in it are written without a detour."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, media_type="application/json")
