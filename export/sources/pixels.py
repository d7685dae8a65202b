"""Scaling and normalization as nodes in front of a graph, so that it takes raw pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export.errors import UsageError
from export.folding.affine import InexactError, cast
from export.sources.original import PIXEL_RANGE, Feeds, Reference


@dataclass(frozen=True)
class Normalization:
    """``(pixel / 255 - mean) / std``, written as ``(pixel - offset) * factor``.

    Attributes:
        offset: Shape (1, C or 1, 1, 1), in units of 0..255.
        factor: The same shape.
    """

    offset: NDArray[np.float64]
    factor: NDArray[np.float64]

    def before(self, reference: Reference, name: str) -> Reference:
        """`reference`, with this in front of its input `name`."""

        def run(feeds: Feeds) -> list[NDArray[np.float64]]:
            pixels = feeds[name].astype(np.float64)
            return reference({**feeds, name: (pixels - self.offset) * self.factor})

        return run


def normalization(
    mean: Sequence[float] | None, std: Sequence[float] | None
) -> Normalization | None:
    """The normalization by mean and standard deviation in units of 0..1; None without both."""
    if mean is None and std is None:
        return None
    largest = PIXEL_RANGE[1]
    offset = np.array(mean or (0.0,), np.float64) * largest
    factor = 1 / (np.array(std or (1.0,), np.float64) * largest)
    return Normalization(offset.reshape(1, -1, 1, 1), factor.reshape(1, -1, 1, 1))


def prepend(model: ir.Model, pixels: ir.Value, steps: Normalization) -> None:
    """Put Sub and Mul between an input of a model and all its readers, in place.

    Raises:
        UsageError: The input is an output as well, or the numbers do not fit its type.
    """
    graph = model.graph
    uses = pixels.uses()
    if pixels.is_graph_output():
        raise UsageError(f"--mean, --std: the model puts out its input '{pixels.name}' as it is")
    offset = add_initializer(graph, "pixel_offset", _rounded(steps.offset, pixels))
    factor = add_initializer(graph, "pixel_factor", _rounded(steps.factor, pixels))
    centred = ir.node("Sub", [pixels, offset], name="pixels/Sub")
    scaled = ir.node("Mul", [centred.outputs[0], factor], name="pixels/Mul")
    for node, suffix in ((centred, "centred"), (scaled, "scaled")):
        node.outputs[0].name = free_name(graph, f"{pixels.name}_{suffix}")
        node.outputs[0].type, node.outputs[0].shape = pixels.type, pixels.shape
    for node, index in uses:
        node.replace_input_with(index, scaled.outputs[0])
    graph.insert_before(graph[0], [centred, scaled])


def _rounded(values: NDArray[np.float64], like: ir.Value) -> NDArray[np.generic]:
    dtype = like.dtype or ir.DataType.FLOAT
    try:
        return cast(values, dtype.numpy())
    except InexactError as error:
        raise UsageError(f"--mean, --std: too large or too small for {dtype.name}") from error


def add_initializer(graph: ir.Graph, name: str, array: NDArray[np.generic]) -> ir.Value:
    """Put an array among the constants of a graph, under a free name like `name`."""
    name = free_name(graph, name)
    tensor = ir.tensor(np.ascontiguousarray(array), name=name)
    value = ir.Value(
        name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def free_name(graph: ir.Graph, wanted: str) -> str:
    """`wanted`, with a number behind it if the graph has a value of that name."""
    taken = {value.name for value in (*graph.inputs, *graph.initializers.values())}
    taken |= {value.name for node in graph.all_nodes() for value in node.outputs}
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name
