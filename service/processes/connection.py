"""One HTTP/1.1 connection: uvicorn's, with bounds (``bounded``) and the express lane.

- uvicorn's parser takes no body of a request that offers an upgrade, as Java's client does with
  each first one (``h2c``), and reads it as the next request: here the offer is overlooked.
- A POST whose body comes with its head, in one read of the socket, is offered to the lane; the
  app gets every other request, and those that the lane does not take.
"""

from collections.abc import Callable
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from service.api.express import ExpressLane
from service.processes.bounded import BoundedConnection

# A request may be under way to a connection that is about to be closed for the end: more than
# a round trip to most clients, and less than anyone waits for the end.
_UNDER_WAY_S = 0.2


class Connection(BoundedConnection):
    """Offers requests to the lane, and overlooks upgrades."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lane: ExpressLane = self.app.state.express_lane
        self._fields: list[tuple[bytes, bytes]] = []
        self._held: list[bytes] | None = None  # the body of a request that nobody has yet
        self._offered: bytes | None = None  # the head of an upgrade, as one without it
        self._ending = False
        self._is_draining = self.app.state.service.draining.is_set
        self._on_lane = False
        self._reply: _Reply | None = None  # of the lane's last request

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._on_lane = self._lane.serves(self.server)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything, and what the lane has."""
        super().connection_lost(exc)
        if self._reply is not None:
            self._reply.lose()

    def shutdown(self) -> None:
        """Answer no more than what is asked, or is under way, and close."""
        self._ending = True
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self.loop.call_later(_UNDER_WAY_S, super().shutdown)
        else:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Take what one read of the socket brought."""
        super().data_received(data)
        if self._held is not None:  # more of it is to come
            self._give_to_app()

    def refuse(self, error: Exception) -> None:
        """Answer that the rest cannot be read; what is held of it is given to nobody."""
        self._held = None
        super().refuse(error)

    def on_headers_complete(self) -> None:
        """Begin with the body."""
        self.check_head()
        self._unset_keepalive_if_required()
        if self.parser.should_upgrade():
            self._offered = self._head_without_upgrade()
            return
        # What comes behind the body is no header of the request.
        self._fields, self.headers = self.headers, []
        if self._is_plain():
            self._held = []
        else:
            self._begin()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._unfinished_bytes = 0
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        """Begin with the next head."""
        self._unfinished_bytes = 0
        if self._offered is not None:
            return
        if self._held is not None:
            if self._offer(b"".join(self._held)):
                self._held = None
                return
            self._give_to_app()
        super().on_message_complete()

    def feed(self, data: bytes) -> None:
        """Parse, and read each request that offers an upgrade once more, as one that does not."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._feed_once_more(memoryview(data)[upgrade.args[0] :])

    def _feed_once_more(self, behind: memoryview | None) -> None:
        while behind is not None:  # a loop, since each request that waits may be such a one
            head, self._offered = self._offered, None
            # A new one: one whose request was to be the last of its connection reads no more.
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
            try:
                self.parser.feed_data(head or b"")
                self.parser.feed_data(behind)
            except HttpParserUpgrade as upgrade:
                behind = behind[upgrade.args[0] :]
            else:
                behind = None

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version.encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join((*lines, b"", b""))

    def _offer(self, body: bytes) -> bool:
        """Return whether the lane answers the request."""
        before = self.cycle
        # To uvicorn it is a cycle like any other: what is behind it waits until it is complete.
        self.cycle = reply = _Reply(self)  # type: ignore[assignment]
        if self._lane.take(self.url, self._fields, body, reply):
            self._reply = reply
            return True
        self.cycle = before
        return False

    def _is_plain(self) -> bool:
        """Whether nothing but the body tells the request from others, and none is before it."""
        before: RequestResponseCycle | None = self.cycle
        return (
            self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and self._on_lane
            and self._lane.may_take(self.url)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and (before is None or before.response_complete)
        )

    def is_last(self) -> bool:
        """Return whether the client is told with the answer that the connection ends."""
        return self._ending or self._is_draining()

    def _begin(self) -> None:
        """Let the app begin with the request, or queue it behind the one before it."""
        super().on_headers_complete()
        if self.is_last():
            self.cycle.keep_alive = False

    def _give_to_app(self) -> None:
        held, self._held = self._held, None
        self._begin()
        for piece in held or ():
            super().on_body(piece)


class _Reply:
    """The place of a cycle while the lane answers."""

    __slots__ = (
        "_connection",
        "_gone",
        "disconnected",
        "keep_alive",
        "message_event",
        "response_complete",
    )

    more_body = False  # it came whole

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._gone: Callable[[], None] | None = None
        self.disconnected = False  # these four are what uvicorn looks at, or sets
        self.keep_alive = True
        self.response_complete = False
        self.message_event = _NOBODY_WAITS

    def waits(self, gone: Callable[[], None]) -> None:
        """Wait for an answer, and call ``gone`` if the client goes away before it is there."""
        self._gone = gone

    def lose(self) -> None:
        """Take that the client is gone."""
        if not self.response_complete:
            self.disconnected = True
            if self._gone is not None:
                self._gone()

    def send(self, status: int, head: bytes, body: bytes) -> None:
        """Send an answer, in one write."""
        connection = self._connection
        self.response_complete = True
        self._gone = None
        if connection.transport.is_closing():
            return  # gone, or told of a later request that is none
        dated = [b"%b: %b\r\n" % header for header in connection.server_state.default_headers]
        lines = [STATUS_LINE[status], *dated]
        is_last = not self.keep_alive or connection.is_last()
        if is_last:
            lines.append(b"connection: close\r\n")
        connection.transport.write(b"".join((*lines, head, b"\r\n", body)))
        if is_last:
            connection.transport.close()
        connection.on_response_complete()


class _Nobody:
    """An event that nobody waits for: the request came whole."""

    def set(self) -> None:
        """Wake nobody."""


_NOBODY_WAITS = _Nobody()
