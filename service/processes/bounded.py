"""uvicorn's HTTP/1.1 connection with bounds: of heads, of time, of connections, of what is sent.

uvicorn's parser keeps heads and trailers of any length in memory until they end, and waits for
them for ever; what cannot be read it answers at once, in the place of the answers before it. And
who takes no answers, or takes them ever more slowly, keeps them in memory.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from httptools import HttpParserError
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.api.problems import problem
from service.errors import (
    HeadTooLarge,
    MalformedRequest,
    ServiceError,
    TargetTooLong,
    TooManyConnections,
)
from service.settings import Settings
from service.telemetry.observation import Observer

Header = tuple[bytes, bytes]

# Beyond what browsers and proxies send; nginx and Apache take 8 KiB a line by default.
LARGEST_HEAD = 64 * 2**10

# As Apache's; of a few bytes each they would cost many times that in memory.
MOST_HEADERS = 100

# As nginx's and Apache's of a line; a path here has two names and a number in it.
LONGEST_TARGET = 8 * 2**10

# A socket that is closed while something in it is unread resets the connection, and takes away
# what the client has not read yet. This is a round trip to most clients.
_LINGER_S = 1.0


class BoundedConnection(HttpToolsProtocol):
    """Refuses what is beyond a bound, behind the answers to what came before it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings: Settings = self.app.state.service.settings
        self.timeout_keep_alive = settings.idle_timeout_s  # type: ignore[assignment]  # any number
        self._most_connections = settings.max_connections
        self._observer: Observer = self.app.state.observer
        self._unfinished_bytes = 0  # since a head or a piece of a body was complete
        self._last_words: bytes | None = None  # the answer to what is not read any further
        self._unsent_bytes = 0
        self._unsent_timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None  # of those in the app, the first

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        if len(self.connections) > self._most_connections:
            self.connections.discard(self)  # so that those that are refused do not count
            transport.write(self._answer(TooManyConnections("the server has no connection free")))
            transport.close()
        else:
            self._wait(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; a timer would keep a connection that was reset."""
        super().connection_lost(exc)
        # uvicorn tells the last request that came; those before it are told nothing, and the app
        # would go on with them, and write to a transport that is none any more.
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self._unset_keepalive_if_required()
        self._forget_unsent()

    def data_received(self, data: bytes) -> None:
        """Take what one read of the socket brought."""
        if self._last_words is not None:
            return  # what comes behind what cannot be read means nothing
        # What of it is complete is not known before it is parsed.
        self._unfinished_bytes += len(data)
        try:
            self.feed(data)
        except HttpParserError as error:
            self.refuse(error)
        else:
            if self._unfinished_bytes > LARGEST_HEAD:
                self.refuse(HeadTooLarge(f"the head is larger than {LARGEST_HEAD} bytes"))

    def feed(self, data: bytes) -> None:
        """Parse what came."""
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self.url += url
        if len(self.url) > LONGEST_TARGET:
            raise TargetTooLong(f"the target is longer than {LONGEST_TARGET} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or one behind a body in chunks."""
        headers = self.headers
        if len(headers) >= MOST_HEADERS:
            raise HeadTooLarge(f"the head has more than {MOST_HEADERS} headers")
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))

    def check_head(self) -> None:
        """Return if a head that is complete can be taken.

        Raises:
            HeadTooLarge: it is too large, though it came in one read.
            MalformedRequest: two readers could see two requests in it.
        """
        if self._unfinished_bytes > LARGEST_HEAD and _size(self.headers) > LARGEST_HEAD:
            raise HeadTooLarge(f"the head is larger than {LARGEST_HEAD} bytes")
        self._unfinished_bytes = 0
        # The parser obeys the last of several; whoever is in front of us may obey the first, and
        # would take the rest of one body for a request of its own.
        names = [name for name, _ in self.headers]
        if names.count(b"transfer-encoding") > 1:
            raise MalformedRequest("the request has more than one transfer-encoding")
        if names.count(b"host") > 1:
            raise MalformedRequest("the request has more than one host")
        if self.parser.get_method() == b"CONNECT":
            raise MalformedRequest("this server connects to nothing behind it")

    def refuse(self, error: Exception) -> None:
        """Answer that the rest cannot be read, behind the answers that are under way."""
        self._last_words = self._answer(_told(error))
        self._unset_keepalive_if_required()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self._end()
        elif cycle.more_body:  # it is the body of this very request
            cycle.disconnected = True
            cycle.message_event.set()
            if self.pipeline:
                self.pipeline.popleft()
            elif cycle.response_started:
                self.transport.close()
            else:
                self._end()

    def on_response_complete(self) -> None:
        """Go on with the next request, or with the refusal that stands behind the last one."""
        if self._last_words is None or self.pipeline:
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1
            self._end()

    def pause_writing(self) -> None:
        """Begin to watch a client that does not take what is sent."""
        super().pause_writing()
        self._watch_unsent()

    def resume_writing(self) -> None:
        """Watch no more."""
        super().resume_writing()
        self._forget_unsent()

    def timeout_keep_alive_handler(self) -> None:
        """Close what waited for a head for too long; answers that nobody takes are let go."""
        if self.flow.write_paused:  # and watched
            self._wait(self.timeout_keep_alive)
        elif self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _wait(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _end(self) -> None:
        """Say the last words, and let the client read them before the end."""
        if self.transport.is_closing():
            return
        self.transport.write(self._last_words or b"")
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()  # to see the client's end, too
            self._wait(_LINGER_S)
        else:
            self.transport.close()

    def _answer(self, error: ServiceError) -> bytes:
        return whole_answer(error, self._observer, self.server_state.default_headers)

    def _watch_unsent(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._unsent_timer = self.loop.call_later(self.timeout_keep_alive, self._look_at_unsent)

    def _look_at_unsent(self) -> None:
        if self.transport.get_write_buffer_size() < self._unsent_bytes:
            self._watch_unsent()
        else:
            self.transport.abort()

    def _forget_unsent(self) -> None:
        if self._unsent_timer is not None:
            self._unsent_timer.cancel()
            self._unsent_timer = None


def whole_answer(error: ServiceError, observer: Observer, headers: Sequence[Header]) -> bytes:
    """Return the whole answer to what is no request of any endpoint, and count it.

    Args:
        error: that it tells.
        observer: counts it.
        headers: that every answer has.
    """
    request_id = observer.request_id(None)
    observer.record("-", "", "unmatched", error.status, request_id, 0.0, error)
    told = problem(error, "", request_id)
    lines = [
        *headers,
        *told.raw_headers,
        (b"content-length", b"%d" % len(told.body)),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request_id.encode()),
        (b"connection", b"close"),
    ]
    head = [b"%b: %b\r\n" % line for line in lines]
    return b"".join((STATUS_LINE[error.status], *head, b"\r\n", told.body))


def _told(error: Exception) -> ServiceError:
    """Return what a client is told of why its bytes cannot be read."""
    cause = error if isinstance(error, ServiceError) else error.__context__
    if isinstance(cause, ServiceError):  # raised in a call of the parser
        return cause
    if isinstance(cause, HttpParserError):
        return MalformedRequest("the target of the request cannot be read")
    return MalformedRequest(f"the request is not one of HTTP/1.1: {error}")


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)  # colon, space, line's end
