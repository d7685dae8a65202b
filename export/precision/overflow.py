"""What does not fit into 16 bits: weights as they are, activations as they are on data."""

from collections.abc import Iterable, Iterator

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

from export import runtime
from export.errors import PrecisionError
from export.sources.original import Feeds

LARGEST = float(np.finfo(np.float16).max)  # 65504
# Bounds: one that lies beyond every number of the type bounds nothing, clipped or not.
BOUNDING = frozenset({"Clip", "Min", "Max"})


def check_weights(model: ir.Model) -> None:
    """Refuse weights beyond 65504.

    Args:
        model: The model in float32.

    Raises:
        PrecisionError: One of them overflows; the message names it.
    """
    for graph in model.graphs():
        for value in graph.initializers.values():
            if value.dtype == ir.DataType.FLOAT and not _only_bounds(value):
                tensor = value.const_value
                _refuse_beyond("weight", value.name, () if tensor is None else tensor.numpy())


def check_activations(model: ir.Model, batches: Iterable[Feeds]) -> None:
    """Refuse a model whose tensors leave the range of 16-bit floats on any of these inputs.

    Args:
        model: The model in float32.
        batches: What it is run on.

    Raises:
        PrecisionError: One of them overflows; the message names the first in the graph's order.
    """
    exposed, names = _exposed(model)
    runner = runtime.load(ir.to_proto(exposed).SerializeToString(), optimized=False)
    largest = np.zeros(len(names))
    for feeds in batches:
        for name, array in feeds.items():
            _refuse_beyond("input", name, array)
        largest = np.maximum(largest, [_largest(array) for array in runner(feeds)])
    for tensor, found in zip(names, largest, strict=True):
        _refuse_beyond("tensor", tensor, found)


def _exposed(model: ir.Model) -> tuple[ir.Model, list[str | None]]:
    """A copy that puts out every float tensor of its top level, and their names in order."""
    copy = model.clone()
    passes.ShapeInferencePass()(copy)
    copy.graph.outputs[:] = list(_floats(copy.graph))
    return copy, [value.name for value in copy.graph.outputs]


def _floats(graph: ir.Graph) -> Iterator[ir.Value]:
    for node in graph:
        for value in node.outputs:
            if value.name and value.dtype == ir.DataType.FLOAT:
                yield value


def _only_bounds(value: ir.Value) -> bool:
    uses = [use.node.op_type for use in value.uses()]
    return bool(uses) and BOUNDING.issuperset(uses)


def _refuse_beyond(kind: str, name: str | None, numbers: object) -> None:
    found = _largest(np.asarray(numbers))
    if not found <= LARGEST:  # not a number is refused too
        raise PrecisionError(
            f"the {kind} '{name}' holds {found:.6g}, more than the {LARGEST:.0f} that fp16 reaches"
        )


def _largest(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> float:
    """The largest magnitude; infinities that a model has on purpose stay what they are in fp16."""
    numbers = np.abs(array.astype(np.float64))
    return float(numbers[~np.isinf(numbers)].max(initial=0.0))
