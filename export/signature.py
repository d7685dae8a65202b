"""What a graph takes and gives, and numbers to try it with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from export.errors import SourceError
from export.sources.original import LARGEST_INPUT, Feeds

Dimension = int | str | None


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph.

    Attributes:
        name: Its name.
        dtype: Its element type.
        shape: Sizes, names of free dimensions, None for nameless ones; None if not even the rank
            is known.
    """

    name: str
    dtype: ir.DataType
    shape: tuple[Dimension, ...] | None

    @property
    def batch(self) -> int | None:
        """The size of the first dimension, None if it is free."""
        first = self.shape[0] if self.shape else 1
        return first if isinstance(first, int) else None


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a graph, in order; inputs with a default value left out."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def signature(model: ir.Model) -> Signature:
    """The signature of a model.

    Raises:
        SourceError: An input or output is no tensor of numbers.
    """
    graph = model.graph
    inputs = [value for value in graph.inputs if value.name not in graph.initializers]
    return Signature(tuple(map(_tensor, inputs)), tuple(map(_tensor, graph.outputs)))


def _tensor(value: ir.Value) -> Tensor:
    if not isinstance(value.type, ir.TensorType) or value.dtype in (None, ir.DataType.STRING):
        raise SourceError(f"'{value.name}' is no tensor of numbers: {value.type}")
    shape = None
    if value.shape is not None:
        shape = tuple(size if isinstance(size, int) else size.value for size in value.shape.dims)
    return Tensor(value.name or "", value.type.dtype, shape)


def draw(
    inputs: Sequence[Tensor],
    rows: int,
    rng: np.random.Generator,
    row_shape: tuple[int, ...] | None = None,
    value_range: tuple[float, float] | None = None,
) -> Feeds:
    """Random inputs.

    Args:
        inputs: What to draw for.
        rows: Size of a free first dimension.
        rng: Where the numbers come from.
        row_shape: Shape without the first dimension, for graphs of one input that leave it free.
        value_range: Smallest and largest value; floats without it are standard normal.

    Raises:
        SourceError: A dimension is free and nothing says its size, or they are all too large.
    """
    feeds = {}
    for tensor in inputs:
        shape = sizes(tensor, rows, row_shape)
        if math.prod(shape) > rows * LARGEST_INPUT:
            raise SourceError(f"input '{tensor.name}' is too large to draw: {list(shape)}")
        feeds[tensor.name] = _draw_one(tensor, shape, rng, value_range)
    return feeds


def sizes(tensor: Tensor, rows: int, row_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """The sizes of an input to try a graph with.

    Args:
        tensor: The input.
        rows: Size of a free first dimension.
        row_shape: Shape without the first dimension, of a graph's only input.

    Raises:
        SourceError: A dimension is free and nothing says its size.
    """
    if row_shape is not None:
        return (tensor.batch or rows, *row_shape)
    if tensor.shape is None:
        raise SourceError(f"the rank of input '{tensor.name}' is not known: give --input")
    if not tensor.shape:
        return ()
    rest = tuple(size for size in tensor.shape[1:] if isinstance(size, int))
    if len(rest) < len(tensor.shape) - 1:
        raise SourceError(
            f"input '{tensor.name}' leaves more than the batch free: give --input, like 3x224x224"
        )
    return (tensor.batch or rows, *rest)


def _draw_one(
    tensor: Tensor,
    shape: tuple[int, ...],
    rng: np.random.Generator,
    value_range: tuple[float, float] | None,
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    dtype = tensor.dtype.numpy()
    if tensor.dtype == ir.DataType.BOOL:
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        low, high = value_range or (0, 1)
        return rng.integers(int(low), int(high) + 1, shape).astype(dtype)
    if value_range is None:
        return rng.standard_normal(shape).astype(dtype)
    return rng.uniform(*value_range, shape).astype(dtype)
