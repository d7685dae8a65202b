"""One connection of the open loop, with at most one request on its way."""

import socket
from contextlib import suppress

import httptools

CHUNK = 1 << 16
OK = 200


class Connection:
    """A keep-alive connection to a server on this machine; it never blocks.

    Attributes:
        due: When the request at hand was to be sent; None while there is none.
        unsent: What is left to send of it.
        answered: Whether its answer is there.
        right: Whether that has status 200.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._parser = httptools.HttpResponseParser(self)
        self.due: float | None = None
        self.unsent = memoryview(b"")
        self.answered = self.right = False

    def fileno(self) -> int:
        """What the system calls it."""
        return self.socket.fileno()

    def begin(self, request: bytes, due: float) -> None:
        """Send as much of a request as goes at once."""
        self.due = due
        self.unsent = memoryview(request)
        self.answered = self.right = False
        self.send()

    def send(self) -> None:
        """Send more of it.

        Raises:
            OSError: The connection is broken.
        """
        with suppress(BlockingIOError):
            self.unsent = self.unsent[self.socket.send(self.unsent) :]

    def receive(self) -> None:
        """Read what has come.

        Raises:
            OSError: The connection is broken, or its end has come.
        """
        try:
            data = self.socket.recv(CHUNK)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.answered = True
        self.right = self._parser.get_status_code() == OK

    def close(self) -> None:
        """Let go of it."""
        self.socket.close()
