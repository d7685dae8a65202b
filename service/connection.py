"""One HTTP/1.1 connection: uvicorn's, with bounds and a short way for small requests.

- Its parser keeps a request line and headers of any length in memory until they end: here a
  head has a bound.
- A POST whose body comes with its head, in one read of the socket, begins when it is complete:
  its body is in the scope, so that nothing waits for it, and an answer in one piece is one
  write. Every other request goes uvicorn's way, and the app sees plain ASGI either way.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.api.exchange import WHOLE_BODY

# Beyond what browsers and proxies send; nginx and Apache take 8 KiB a line by default.
LARGEST_HEAD = 64 * 2**10


class Connection(HttpToolsProtocol):
    """Answers 400 and closes once a head is larger than ``LARGEST_HEAD`` and a read more."""

    _in_head = True
    _head_bytes = 0
    _held: list[bytes] | None = None  # the body of a request that has not begun

    def data_received(self, data: bytes) -> None:
        """Take what one read of the socket brought."""
        if self._in_head and self._head_bytes > LARGEST_HEAD:
            if not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")
            return
        # What of it belongs to a body, or to the next head, is not known before it is parsed.
        self._head_bytes += len(data)
        super().data_received(data)
        if self._held is not None and self.parser is not None:
            self._begin_incomplete(self._held)

    def on_headers_complete(self) -> None:
        """Begin with the body."""
        self._in_head = False
        if self._may_be_whole():
            self._held = []
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        """Begin with the next head."""
        self._in_head = True
        self._head_bytes = 0
        if self._held is None:
            super().on_message_complete()
        else:
            held, self._held = self._held, None
            self._begin_whole(held[0] if len(held) == 1 else b"".join(held))

    def _may_be_whole(self) -> bool:
        """Return whether the request is plain, and the first one that is not answered."""
        before: RequestResponseCycle | None = self.cycle
        return (
            self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and not self.expect_100_continue
            and (before is None or before.response_complete)
        )

    def _begin_incomplete(self, held: Sequence[bytes]) -> None:
        self._held = None
        super().on_headers_complete()
        for piece in held:
            super().on_body(piece)

    def _begin_whole(self, body: bytes) -> None:
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope: Any = self.scope
        scope["method"] = "POST"
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        scope["extensions"] = {WHOLE_BODY: {"body": body}}
        self.cycle = _WholeCycle(
            scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        self.cycle.body = bytearray(body)
        self.cycle.more_body = False
        self._start_asgi_task(self.cycle, self.app)


class _WholeCycle(RequestResponseCycle):
    """A cycle that writes an answer in one piece with one call."""

    _held: Any = None  # the answer's start, until its body comes

    async def send(self, message: Any) -> None:
        """Take a message of the app's."""
        if self._held is None and not self.response_started:
            self._held = message
            return
        held, self._held = self._held, None
        if held is None:
            await super().send(message)
        elif not self._write_whole(held, message):
            await super().send(held)
            await super().send(message)

    def _write_whole(self, start: Any, end: Any) -> bool:
        """Write an answer that is plain; return whether it was."""
        body = end.get("body", b"")
        length = (b"content-length", b"%d" % len(body))
        headers = start["headers"]
        if end.get("more_body") or length not in headers or not self._is_plain():
            return False
        lines = [STATUS_LINE[start["status"]]]
        for name, value in (*self.default_headers, *headers):
            if name == b"connection":
                return False
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        # A line break in a value would be a header of its own: uvicorn's way refuses it.
        if head.count(b"\n") != (len(lines) - 2) // 4 + 2:
            return False
        self.transport.writelines((head, body))
        self.response_started = self.response_complete = True
        self.message_event.set()
        self.on_response()
        return True

    def _is_plain(self) -> bool:
        return self.keep_alive and not self.disconnected and not self.flow.write_paused
