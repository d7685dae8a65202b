"""The artifact: one ONNX file that describes itself, written whole or not at all."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import onnx
import onnx_ir as ir

from export import runtime
from export.errors import ArtifactError, UsageError, first_line

MODEL_FILE = "model.onnx"
CHECKPOINT_FILE = "checkpoint.safetensors"
PAGE_FILE = "report.html"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Widely read: ONNX Runtime 1.18 (2024) and newer.
HIGHEST_IR_VERSION = 10


@dataclass(frozen=True)
class Place:
    """Where an artifact goes: ``<repository>/<name>/<version>/``, the layout of Triton.

    Attributes:
        repository: Folder of all models.
        name: Of the model: letters, digits, dot, underscore and hyphen.
        version: Counted from 1.
    """

    repository: Path
    name: str
    version: int

    def __post_init__(self) -> None:
        """Raise `UsageError` for what is no name or version."""
        if not NAME.fullmatch(self.name):
            raise UsageError(
                f"--name {self.name!r}: use letters, digits, '.', '_' and '-', no mark first"
            )
        if self.version < 1:
            raise UsageError(f"--version {self.version}: count from 1")

    @property
    def folder(self) -> Path:
        """The folder of this version."""
        return self.repository / self.name / str(self.version)

    @property
    def model(self) -> Path:
        """The file."""
        return self.folder / MODEL_FILE

    def check_free(self) -> None:
        """Raise `UsageError` if this version exists."""
        if self.model.exists():
            raise UsageError(f"{self.model} exists: take another --version, or --force")


def serialize(model: ir.Model) -> bytes:
    """The bytes of a model, checked: ONNX's checker passes and ONNX Runtime loads them.

    The same model gives the same bytes.

    Raises:
        ArtifactError: It is no valid model.
    """
    model.ir_version = min(model.ir_version, HIGHEST_IR_VERSION)
    proto = ir.to_proto(model)
    data: bytes = proto.SerializeToString(deterministic=True)
    try:
        onnx.checker.check_model(data, full_check=True)
    except Exception as error:
        raise ArtifactError(f"the model is not valid: {first_line(error)}") from error
    runtime.load(data, optimized=True, error=ArtifactError)
    return data


def write(
    place: Place, data: bytes, checkpoint: Path | None = None, page: str | None = None
) -> Path:
    """Write an artifact, and beside it the checkpoint that it came from and its page.

    Each file appears whole under its name, once all of them reached the disk; a folder made for
    them goes again if they do not. The model comes last, so whoever finds it finds the others
    too.

    Args:
        place: Where to.
        data: The serialized model.
        checkpoint: The file that it came from.
        page: What a person reads about it, as HTML.

    Returns:
        The path of the model.

    Raises:
        ArtifactError: It cannot be written.
    """
    try:
        with contextlib.ExitStack() as stack:  # left in reverse: the model is the last to appear
            stack.enter_context(_made(place.folder))
            file = stack.enter_context(_replacing(place.model))
            for path, content in _beside(place, checkpoint, page):
                stack.enter_context(_replacing(path)).write(content)
            file.write(data)
            _to_disk(file)
        for name, given in ((CHECKPOINT_FILE, checkpoint), (PAGE_FILE, page)):
            if given is None:  # one left by a build that this one replaces
                (place.folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"{place.model} cannot be written: {error}") from error
    return place.model


def write_file(path: Path, data: bytes) -> None:
    """Write one file whole, or not at all.

    Raises:
        ArtifactError: It cannot be written.
    """
    try:
        with _replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error


def _beside(
    place: Place, checkpoint: Path | None, page: str | None
) -> Iterator[tuple[Path, bytes]]:
    """The files that go with a model."""
    kept = place.folder / CHECKPOINT_FILE
    if checkpoint is not None and not _is_same(checkpoint, kept):
        yield kept, checkpoint.read_bytes()
    if page is not None:
        yield place.folder / PAGE_FILE, page.encode()


def _is_same(source: Path, target: Path) -> bool:
    return target.exists() and source.samefile(target)


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """A folder that goes again, with the parents made for it, if what it was made for fails."""
    new = [step for step in (folder, *folder.parents) if not step.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for step in new:
            with contextlib.suppress(OSError):  # never made, or somebody else's files are in it
                step.rmdir()
        raise


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once it is whole and on the disk."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            _to_disk(file)
        temporary.chmod(0o644)  # mkstemp makes files that the service's user could not read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
