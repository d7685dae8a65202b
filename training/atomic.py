"""Files that are there whole or not at all, whatever kills the process."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write a file beside its place, force it to disk, and move it there in one step.

    Raises:
        OSError: If the folder cannot be written; then no half file is left.
    """
    # One name for all drafts: what a killed process left is overwritten by the next.
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        # A full disk is not said to belong to a file: say to which.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
