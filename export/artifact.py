"""The artifact: one ONNX file that describes itself, written whole or not at all."""

import contextlib
import os
import re
import shutil
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


def write(place: Place, data: bytes, checkpoint: Path | None = None) -> Path:
    """Write an artifact, and the checkpoint that it came from beside it.

    Each file appears whole under its name, after it reached the disk. The model comes last, so
    whoever finds it finds the checkpoint too.

    Args:
        place: Where to.
        data: The serialized model.
        checkpoint: The file that it came from.

    Returns:
        The path of the model.

    Raises:
        ArtifactError: It cannot be written.
    """
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        if checkpoint is not None:
            _copy(checkpoint, place.folder / CHECKPOINT_FILE)
        with _replacing(place.model) as file:
            file.write(data)
        if checkpoint is None:  # one left by a build that this one replaces
            (place.folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"{place.model} cannot be written: {error}") from error
    return place.model


def _copy(source: Path, target: Path) -> None:
    if target.exists() and source.samefile(target):
        return
    with source.open("rb") as original, _replacing(target) as file:
        shutil.copyfileobj(original, file)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once it is whole and on the disk."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes files that the service's user could not read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
