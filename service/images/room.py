"""The memory that decoding takes: of one largest image at once, whoever many threads decode."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """Pixels that may be in work at once in a process; threads share it.

    Decoded, a picture of ten kilobytes may take half a gigabyte (16 bytes a pixel, of a WebP),
    and on a machine of many processors there are many threads that decode.

    Args:
        pixels: of them all; an image of more would wait for ever.
    """

    def __init__(self, pixels: int) -> None:
        self._free = pixels
        self._next = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for an image, and hold it for the time of the block."""
        # One waits at a time, so that small images do not pass a large one for ever.
        with self._next, self._changed:
            self._changed.wait_for(lambda: pixels <= self._free)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()
