"""Readers: each returns a graph that still has its batch norms, and what is known about it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from export.errors import UsageError
from export.sources.options import SourceOptions
from export.sources.original import Original

FORMS = (
    "a checkpoint (.safetensors), an .onnx, .keras or .pt2 file, or a factory "
    "(package.module:factory)"
)
# What the extra `export` leaves out: whoever folds ONNX files needs none of it.
OPTIONAL = frozenset({"torch", "safetensors", "pydantic", "keras"})
KERAS = ".keras"


def read(reference: str, options: SourceOptions) -> Original:
    """Read a model from wherever `reference` points.

    Args:
        reference: Path of a checkpoint, an ONNX file, a ``.keras`` file or a ``.pt2`` program, or
            ``package.module:factory``.
        options: What the source cannot say itself.

    Raises:
        SourceError: It cannot be read or converted.
        UsageError: No reader takes it, its framework is not installed, or the options do not fit.
    """
    try:
        return _read(reference, options)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        extras = "export,training,keras" if reference.endswith(KERAS) else "export,training"
        raise UsageError(
            f"{reference}: to read it, {error.name} must be installed: "
            f"pip install 'foldserve[{extras}]'"
        ) from error


def _read(reference: str, options: SourceOptions) -> Original:
    reader = _READERS.get(Path(reference).suffix)
    if reader is not None:
        return reader(Path(reference), options)
    if ":" in reference:
        return _factory(reference, options)
    raise UsageError(f"{reference}: give {FORMS}")


def _onnx(path: Path, options: SourceOptions) -> Original:
    from export.sources.onnx import read_onnx  # noqa: PLC0415 - each reader loads its own framework

    if options.weights is not None:
        raise UsageError("--weights: an ONNX file has its weights, leave it out")
    return read_onnx(path, options)


def _checkpoint(path: Path, options: SourceOptions) -> Original:
    from export.sources.checkpoint import read_checkpoint  # noqa: PLC0415 - loads torch

    return read_checkpoint(path, options)


def _keras(path: Path, options: SourceOptions) -> Original:
    from export.sources.keras import read_keras  # noqa: PLC0415 - loads torch and keras

    return read_keras(path, options)


def _program(path: Path, options: SourceOptions) -> Original:
    from export.sources.program import read_program  # noqa: PLC0415 - loads torch

    return read_program(path, options)


def _factory(reference: str, options: SourceOptions) -> Original:
    from export.sources.torch import read_factory  # noqa: PLC0415 - loads torch

    return read_factory(reference, options)


_READERS: Mapping[str, Callable[[Path, SourceOptions], Original]] = {
    KERAS: _keras,
    ".onnx": _onnx,
    ".pt2": _program,
    ".safetensors": _checkpoint,
}
