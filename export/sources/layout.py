"""Images as the service sends them, channels first, to a network that wants channels last."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export.sources.options import CHANNELS
from export.sources.original import Feeds, Reference

TO_CHANNELS_LAST = (0, 2, 3, 1)


def is_channels_last(shape: tuple[int, ...] | None) -> bool:
    """Whether a shape, without the batch, is that of an image with its channels last."""
    counts = CHANNELS.values()
    return shape is not None and len(shape) == 3 and shape[0] not in counts and shape[-1] in counts


def channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the same image, without the batch, its channels first."""
    height, width, channels = shape
    return (channels, height, width)


def take_channels_first(model: ir.Model, image: ir.Value) -> None:
    """Put a Transpose between an input (N, C, H, W) and all its readers, in place.

    Args:
        model: The model.
        image: Its input of shape (N, H, W, C).
    """
    uses = image.uses()
    last = ir.node(
        "Transpose", [image], attributes={"perm": TO_CHANNELS_LAST}, name="image/Transpose"
    )
    output = last.outputs[0]
    output.name = f"{image.name}_channels_last"
    output.type, output.shape = image.type, image.shape
    if image.shape is not None:
        batch, height, width, channels = image.shape.dims
        image.shape = ir.Shape((batch, channels, height, width))
    for node, index in uses:
        node.replace_input_with(index, output)
    model.graph.insert_before(model.graph[0], last)


def before(reference: Reference, name: str) -> Reference:
    """`reference`, its input `name` now channels first."""

    def run(feeds: Feeds) -> list[NDArray[np.float64]]:
        return reference({**feeds, name: feeds[name].transpose(TO_CHANNELS_LAST)})

    return run
