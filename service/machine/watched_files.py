"""Files of secrets: read again when they change, in a thread, since they may be far away."""

import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

Mark = tuple[int, ...] | None
"""Tells one state of a file from another; None where there is no file."""


class WatchedFiles:
    """Has files read when one of them is another than it was.

    Args:
        paths: of the files.
        read: called once at a time, in a thread if not alone; its errors are its own matter.
        seen: the marks of what has been read already, taken before it was.
    """

    def __init__(
        self, paths: Sequence[Path], read: Callable[[], None], seen: Sequence[Mark]
    ) -> None:
        self._paths = paths
        self._read = read
        self._seen = [*seen]
        self._reading: threading.Thread | None = None

    def look(self) -> None:
        """Begin to read if something has changed; to look at a file costs two microseconds."""
        if self._reading is not None and self._reading.is_alive():
            return
        if self._have_changed():
            self._reading = threading.Thread(target=self._read, name="reads again", daemon=True)
            self._reading.start()

    def look_alone(self) -> None:
        """Read at once if something has changed: for a process that must have no thread."""
        if self._have_changed():
            self._read()

    def _have_changed(self) -> bool:
        before, self._seen = self._seen, [mark(path) for path in self._paths]
        return self._seen != before


def mark(path: Path) -> Mark:
    """Return what a file is now, at the end of links."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def is_open_to_all(path: Path) -> bool:
    """Return whether every user of this machine can read a file."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
