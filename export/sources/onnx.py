"""Any ONNX file, as it is."""

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx
import onnx_ir as ir

from export.errors import SourceError, first_line
from export.folding.preparation import raise_from_ir_3
from export.manifest import KEY
from export.sources.inputs import described
from export.sources.options import SourceOptions, read_labels
from export.sources.original import Original, Provenance

LARGEST = (1 << 31) - 1  # bytes; protobuf, and with it one file that describes itself, ends here


def read_onnx(path: Path, options: SourceOptions) -> Original:
    """Read an ONNX file, its external data included.

    Args:
        path: The file.
        options: `input_shape` fixes dimensions that the graph leaves free, apart from the batch.

    Raises:
        SourceError: It cannot be read, is not valid or an artifact of ours, or reaches outside its
            folder.
        UsageError: The options do not fit.
    """
    model, digest = load(path)
    _check_valid(model, path)
    if KEY in model.metadata_props:
        raise SourceError(
            f"{path} is an artifact of foldserve-export already; build from what it was made of"
        )
    raise_from_ir_3(model)
    description, _ = described(model, options)
    return Original(
        model=model,
        input=description,
        provenance=Provenance("onnx", path.name, digest),
        labels=read_labels(options.labels),
    )


def load(path: Path) -> tuple[ir.Model, str]:
    """Load an ONNX file.

    Args:
        path: The file.

    Returns:
        The model with all its tensors in memory, and the SHA-256 of the file.

    Raises:
        SourceError: It cannot be read, or reaches outside its folder.
    """
    if not path.is_file():
        what = "a folder; name an .onnx file in it" if path.is_dir() else "no such file"
        raise SourceError(f"{path}: {what}")
    try:
        model = ir.load(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        size = sum(tensor.nbytes for tensor in _tensors(model))
    except Exception as error:
        raise SourceError(f"{path} is no ONNX model: {first_line(error)}") from error
    if not model.graph.outputs:
        raise SourceError(f"{path} is no ONNX model: it has no outputs")
    if size > LARGEST:
        raise SourceError(f"{path}: its weights are {size} bytes, an artifact holds {LARGEST}")
    for tensor in _tensors(model):
        if isinstance(tensor, ir.ExternalTensor):
            _check_location(path.parent, str(tensor.location))
    try:
        ir.external_data.load_to_model(model)
    except Exception as error:
        raise SourceError(f"{path}: external data cannot be read ({error})") from error
    return model, digest


def external_files(path: Path) -> set[Path]:
    """The files beside an ONNX file that hold its tensors; their content is not read.

    Raises:
        SourceError: It cannot be read, or reaches outside its folder.
    """
    try:
        model = ir.load(path)
    except Exception as error:
        raise SourceError(f"{path} is no ONNX model: {first_line(error)}") from error
    locations = {str(one.location) for one in _tensors(model) if isinstance(one, ir.ExternalTensor)}
    for location in locations:
        _check_location(path.parent, location)
    return {path.parent / location for location in locations}


def _check_valid(model: ir.Model, path: Path) -> None:
    """Refuse what ONNX's checker refuses: whatever comes after this may rely on operands."""
    try:
        onnx.checker.check_model(ir.to_proto(model))
    except Exception as error:
        raise SourceError(f"{path} is no valid ONNX model: {first_line(error)}") from error


def _check_location(folder: Path, location: str) -> None:
    """Refuse external data that lies outside the folder of its model."""
    parts = PurePosixPath(location)
    if parts.is_absolute() or ".." in parts.parts:
        raise SourceError(f"external data {location!r} lies outside the model's folder")
    file = folder / location
    if any(step.is_symlink() for step in (file, *file.parents) if folder in step.parents):
        raise SourceError(f"external data {location!r} is a link")
    if not file.is_file():
        raise SourceError(f"external data {location!r} is missing")
    if file.stat().st_nlink > 1:
        raise SourceError(f"external data {location!r} is a hard link")


def _tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for graph in model.graphs():
        yield from (v.const_value for v in graph.initializers.values() if v.const_value is not None)
        for node in graph:
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.TENSOR:
                    yield attribute.as_tensor()
