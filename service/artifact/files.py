"""The files of one model: none outside its place, none too large, none that changes meanwhile."""

import mmap
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from service.artifact.external_data import External, external_tensors
from service.errors import ModelLoadError

Stamp = tuple[int, int, int, int]
"""Inode, size, time of writing and time of change, which no program can set back."""


@dataclass(frozen=True)
class ModelFile:
    """A file that the runtime will open.

    Args:
        path: of it.
        size: in bytes.
        stamp: when it was first looked at.
    """

    path: Path
    size: int
    stamp: Stamp


def files_of_model(path: Path, max_bytes: int) -> tuple[ModelFile, ...]:
    """Return a model's file and those of its external data, if the runtime may open them.

    Args:
        path: of ``model.onnx``, in ``<repository>/<name>/<version>/``.
        max_bytes: of all the files.

    Raises:
        ModelLoadError: one lies outside its place, is a link or no plain file, or they are too
            large; the message names the tensor, and no path.
    """
    try:
        model = _model_file(path)
        _check_size([model], max_bytes)
        with _mapped(path) as data:
            stated = {one.location: one for one in external_tensors(data)}
        files = [model, *(_external_file(path.parent, one) for one in stated.values())]
    except (OSError, ValueError) as error:  # ValueError: a NUL in a name
        raise ModelLoadError(f"the model's files cannot be read ({_why(error)})") from None
    _check_size(files, max_bytes)
    return tuple(files)


def check_unchanged(files: Iterable[ModelFile]) -> None:
    """Compare the files with what they were when they were looked at.

    Raises:
        ModelLoadError: one is another by now, so what was opened may not be what was checked.
    """
    for file in files:
        try:
            changed = _stamp(file.path.stat()) != file.stamp
        except OSError:
            changed = True
        if changed:
            raise ModelLoadError("the model's files changed while they were read; load it again")


@contextmanager
def _mapped(path: Path) -> Iterator[bytes]:
    """A file's bytes where they lie; an empty file has none to map."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise ModelLoadError("the model's file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as found:
            yield found  # type: ignore[misc]  # it is indexed and sliced like bytes


def _model_file(path: Path) -> ModelFile:
    # Kubernetes mounts files as links within the volume, and an operator may link whole folders
    # into a repository: only a file that leaves both is refused.
    real = path.resolve()
    if not any(real.is_relative_to(each.resolve()) for each in (path.parents[2], path.parent)):
        raise ModelLoadError("model.onnx is a link that leads out of the repository")
    return _plain(path, path.stat(), "model.onnx")


def _external_file(folder: Path, external: External) -> ModelFile:
    who = f"the external data of {external.tensor!r}"
    for step in _steps(external.location, who):
        if (folder / step).is_symlink():
            raise ModelLoadError(f"{who} is a link")
    path = folder / external.location
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        raise ModelLoadError(f"{who} is missing") from None
    if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
        raise ModelLoadError(f"{who} is a hard link: it has other names as well")
    return _plain(path, found, who)


def _steps(location: str, who: str) -> Iterator[PurePosixPath]:
    parts = PurePosixPath(location)
    if parts.is_absolute() or ".." in parts.parts or "\\" in location:
        raise ModelLoadError(f"{who} lies outside the model's folder")
    yield from (parts, *parts.parents)[:-1]


def _plain(path: Path, found: os.stat_result, who: str) -> ModelFile:
    if not stat.S_ISREG(found.st_mode):
        raise ModelLoadError(f"{who} is no plain file")
    return ModelFile(path, found.st_size, _stamp(found))


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _check_size(files: Iterable[ModelFile], max_bytes: int) -> None:
    size = sum(file.size for file in files)
    if size > max_bytes:
        raise ModelLoadError(
            f"the model's files are {size} bytes, more than FOLDSERVE_MAX_MODEL_BYTES={max_bytes}"
        )


def _why(error: OSError | ValueError) -> str:
    return (error.strerror or "error") if isinstance(error, OSError) else "a name is none"
