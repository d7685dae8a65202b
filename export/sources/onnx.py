"""Any ONNX file, as it is."""

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx
import onnx_ir as ir

from export.errors import SourceError, UsageError, first_line
from export.folding.engine import raise_from_ir_3
from export.manifest import KEY
from export.sources.options import SourceOptions, describe_input, read_labels
from export.sources.original import Original, Provenance
from export.sources.pixels import normalization, prepend

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
    described = describe_input(options, options.input_shape or _static_shape(model))
    steps = normalization(options.mean, options.std)
    if steps is not None:
        prepend(model, _pixels(model), steps)
    return Original(
        model=model,
        input=described,
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
        raise SourceError(f"{path}: no such file")
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


def _tensors(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    for graph in model.graphs():
        yield from (v.const_value for v in graph.initializers.values() if v.const_value is not None)
        for node in graph:
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.TENSOR:
                    yield attribute.as_tensor()


def _inputs(model: ir.Model) -> list[ir.Value]:
    """The inputs without a default value."""
    return [value for value in model.graph.inputs if not value.is_initializer()]


def _static_shape(model: ir.Model) -> tuple[int, ...] | None:
    """Shape of one input without the batch, if there is one input whose shape is known."""
    inputs = _inputs(model)
    if len(inputs) != 1 or inputs[0].shape is None:
        return None
    sizes = [size for size in inputs[0].shape.dims[1:] if isinstance(size, int)]
    return tuple(sizes) if len(sizes) == inputs[0].shape.rank() - 1 else None


def _pixels(model: ir.Model) -> ir.Value:
    """The one input, of floats, that pixels can be normalized for."""
    inputs = _inputs(model)
    if len(inputs) != 1:
        raise UsageError(f"--mean, --std: the model has {len(inputs)} inputs, not one image")
    if inputs[0].dtype is None or not inputs[0].dtype.is_floating_point():
        raise UsageError(f"--mean, --std: the input is {inputs[0].dtype}, it must be a float")
    return inputs[0]
