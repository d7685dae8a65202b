"""The API keys of today: those of the file, or of the last one that was of use."""

from pathlib import Path

import structlog

from service.access.keys import Key, read_keys
from service.errors import StartError
from service.machine.watched_files import WatchedFiles, is_open_to_all, mark

log = structlog.get_logger()


class KeyFile:
    """Takes new keys when their file changes.

    Args:
        path: of the file.
        keys: what it held when it was last of use, so that a worker that takes the place of
            another knows them whatever it holds by then; by default it is read.

    Raises:
        StartError: the file is read, and cannot be used.
    """

    def __init__(self, path: Path, keys: tuple[Key, ...] | None = None) -> None:
        self._path = path
        self._file = WatchedFiles([path], self._read_again, [mark(path)] if keys is None else ())
        if keys is None:
            keys = read_keys(path)
            if is_open_to_all(path):
                log.warning("every user of this machine can read the file of API keys")
        self.current = keys

    def look(self) -> None:
        """Have the file read if it has changed; what it holds is taken a moment later."""
        self._file.look()

    def look_alone(self) -> None:
        """Take what the file holds at once if it has changed, with no thread."""
        self._file.look_alone()

    def _read_again(self) -> None:
        """Take the keys of the file; one that is broken changes nothing."""
        try:
            found = read_keys(self._path)
        except StartError as error:
            log.warning("the old API keys stay", reason=str(error))
            return
        if found != self.current:
            self.current = found
            log.info("new API keys", count=len(found))
