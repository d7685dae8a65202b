"""One HTTP/1.1 connection: uvicorn's, with a bound on the head of a request.

Its parser keeps a request line and headers of any length in memory until they end.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Beyond what browsers and proxies send; nginx and Apache take 8 KiB a line by default.
LARGEST_HEAD = 64 * 2**10


class BoundedHead(HttpToolsProtocol):
    """Answers 400 and closes once a head is larger than ``LARGEST_HEAD`` and a read more."""

    _in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Take what one read of the socket brought."""
        if self._in_head and self._head_bytes > LARGEST_HEAD:
            if not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")
            return
        # What of it belongs to a body, or to the next head, is not known before it is parsed.
        self._head_bytes += len(data)
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Begin with the body."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Begin with the next head."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()
