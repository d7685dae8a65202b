"""What an artifact takes: float pixels, channels first, or an image's bytes as they are decoded.

    uint8 (N, H, W, C) -> Transpose -> Cast -> float (N, C, H, W) -> the network as it was

Nothing is lost: every floating-point type holds the integers 0..255. The front stands before the
network's own normalization and before the fold, which moves scale and mean into the first
convolution, the mean only where that has no zero padding. Where it has, one addition is left, since
nothing that is exact instead of it is faster. `python -m benchmarks.input_format` measures that
(ONNX Runtime 1.32, one CPU thread, stems from 1x8x8 to 3x224x224; time of the stem, the addition
is 1): a channel of ones whose weights carry the mean 1.1 to 1.5; a bias map behind the convolution,
which drives it out of its blocked layout, 1.1 to 2.2; a Pad with the mean, where all channels have
the same, 0.99 to 1.07.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from export.errors import UsageError
from export.front import RANK, TO_CHANNELS_FIRST, put_before
from export.signature import signature
from export.sources.original import PIXEL_RANGE, Feeds, ImageInput, Original, Reference

InputFormat = Literal["float32", "image-uint8"]

OPTION = "--input-format image-uint8"


def with_format(original: Original, wanted: InputFormat) -> Original:
    """The original, as it takes its input in the format that is wanted.

    Args:
        original: As a reader gives it; left alone.
        wanted: "float32" leaves everything as it is; "image-uint8" is an image's bytes.

    Raises:
        UsageError: The input is no image, or the graph gives its pixels out as well.
    """
    return original if wanted == "float32" else _as_uint8(original)


def format_of(artifact: bytes, original: Original) -> InputFormat:
    """The format in which a serialized model takes what `original` takes."""
    if _takes_bytes(original.model):
        return "float32"  # nothing was put before it
    try:
        model = ir.from_proto(onnx.load_model_from_string(artifact))
        return "image-uint8" if _takes_bytes(model) else "float32"
    except Exception:  # noqa: BLE001 - of protobuf's own; whoever runs the model says what is wrong
        return "float32"


def channels_first(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Images as a network takes them: (N, H, W, C) of uint8 to (N, C, H, W) of float64."""
    return np.ascontiguousarray(pixels.transpose(TO_CHANNELS_FIRST), np.float64)


def _takes_bytes(model: ir.Model) -> bool:
    inputs = signature(model).inputs
    return len(inputs) == 1 and inputs[0].dtype == ir.DataType.UINT8


def _as_uint8(original: Original) -> Original:
    given = original.input
    if not isinstance(given, ImageInput):
        raise UsageError(f"{OPTION}: the input is no image; --color RGB or L says that it is one")
    if given.layout == "NHWC":
        return original
    if given.value_range != PIXEL_RANGE:
        raise UsageError(f"{OPTION}: the pixels range over {given.value_range}, not 0..255")
    model = original.model.clone()
    floats = _image_input(model.graph)
    name = floats.name or ""
    put_before(model.graph, floats, (given.height, given.width, given.channels))
    reference = _of_bytes(original.reference, name) if original.reference else None
    return replace(original, model=model, input=replace(given, layout="NHWC"), reference=reference)


def _image_input(graph: ir.Graph) -> ir.Value:
    """The one input, of floats, that a front can be put before."""
    inputs = [value for value in graph.inputs if not value.is_initializer()]
    if len(inputs) != 1:
        raise UsageError(f"{OPTION}: the model has {len(inputs)} inputs, not one image")
    (value,) = inputs
    if value.dtype is None or not value.dtype.is_floating_point():
        raise UsageError(f"{OPTION}: the input is {value.dtype}, it must be a float")
    if value.shape is not None and value.shape.rank() != RANK:
        raise UsageError(f"{OPTION}: the input has {value.shape.rank()} axes, images have {RANK}")
    if value.is_graph_output():
        raise UsageError(f"{OPTION}: the model puts out its input '{value.name}' as it is")
    return value


def _of_bytes(reference: Reference, name: str) -> Reference:
    """A reference that takes floats, channels first, as one that takes bytes."""

    def run(feeds: Feeds) -> list[NDArray[np.float64]]:
        return reference({**feeds, name: channels_first(feeds[name])})

    return run
