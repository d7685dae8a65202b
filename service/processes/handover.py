"""Connections that came to a worker that is dead, on their way to one that lives.

The kernel spreads the connections over the sockets of all workers, and does not know which of
these has nobody behind it. Until somebody is there again the process above accepts what comes to
it, and puts it into one pair of sockets that all workers read: whichever has time takes it. Open
descriptors go over a socket of the machine itself with ``SCM_RIGHTS`` (unix(7)).
"""

import os
import select
import socket
from contextlib import suppress

PAUSE_S = 0.02
"""Seconds between two looks at the socket of a dead worker: less than anybody notices."""


class Handover:
    """Made before the workers are forked, so that each of them has it."""

    def __init__(self) -> None:
        self._above, self._workers = socket.socketpair()
        self._workers.setblocking(False)
        self._room = select.poll()
        self._room.register(self._above, select.POLLOUT)

    def close(self) -> None:
        """Let nothing through any more; who is on the way is told that the connection ends."""
        self._above.close()
        self._workers.close()

    def fileno(self) -> int:
        """Return the descriptor that can be read when a connection is there to be taken."""
        return self._workers.fileno()

    def pass_on(self, listener: socket.socket) -> None:
        """Give the workers the connections that wait, as long as there is room between.

        Args:
            listener: of a worker that is dead. What finds no room, or no descriptor, waits in it.
        """
        with suppress(OSError):
            listener.setblocking(False)
            while self._room.poll(0):
                connection, _ = listener.accept()
                with connection:
                    socket.send_fds(self._above, [b"\0"], [connection.fileno()])

    def take(self) -> socket.socket | None:
        """Return a connection, or nothing if another worker was faster."""
        try:
            _, descriptors, _, _ = socket.recv_fds(self._workers, 1, 1)
        except BlockingIOError:
            return None
        if not descriptors:  # this process may open no more, and the kernel has closed it
            return None
        connection = socket.socket(fileno=descriptors[0])
        os.set_inheritable(connection.fileno(), False)
        return connection
