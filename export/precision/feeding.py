"""Samples as the batches that a graph takes."""

import math

import numpy as np

from export.errors import UsageError
from export.precision.samples import Array, Inputs
from export.signature import Signature, Tensor, draw
from export.sources.original import Feeds, ImageInput, Original

LARGEST_BATCH = 64
# Numbers of one batch: with every tensor of a 224 x 224 network exposed, some hundred MB.
LARGEST_FEED = 1 << 20
DRAWN = 64  # random inputs where there are no samples, as many as parity is measured on
SEED = 0


def batches(inputs: Inputs, graph: Signature, original: Original) -> list[Feeds]:
    """Inputs as batches, in order; of a graph with a fixed batch, whole ones.

    Raises:
        UsageError: The graph does not take exactly one input, or there is not one whole batch.
    """
    if len(graph.inputs) != 1:
        raise UsageError(f"the model takes {len(graph.inputs)} inputs, samples are of one")
    (tensor,) = graph.inputs
    size = tensor.batch or _size(math.prod(inputs.values.shape[1:]))
    count = len(inputs) // size * size if tensor.batch else len(inputs)
    if not count:
        raise UsageError(f"{len(inputs)} samples are less than the model's batch of {size}")
    return [
        {tensor.name: _as_taken(inputs.values[start : start + size], tensor, original)}
        for start in range(0, count, size)
    ]


def random_batches(graph: Signature, original: Original) -> list[Feeds]:
    """Seeded random inputs, where there are no samples.

    Raises:
        UsageError: The model has no inputs.
        SourceError: Nothing says how large an input is.
    """
    if not graph.inputs:
        raise UsageError("the model takes no inputs, so there is nothing to judge it by")
    shape = original.input.shape if len(graph.inputs) == 1 else None
    size = min(graph.inputs[0].batch or _size(math.prod(shape or ())), DRAWN)
    rng = np.random.default_rng(SEED)
    return [
        draw(graph.inputs, size, rng, shape, original.input.value_range)
        for _ in range(max(1, DRAWN // size))
    ]


def as_typed(feeds: Feeds, graph: Signature) -> Feeds:
    """The same numbers in the types of another graph's inputs."""
    types = {tensor.name: tensor.dtype.numpy() for tensor in graph.inputs}
    return {name: array.astype(types[name], copy=False) for name, array in feeds.items()}


def first_input(feeds: Feeds, graph: Signature) -> Feeds:
    """The first input of a batch; of a graph with a fixed batch, all of it."""
    free = {tensor.name for tensor in graph.inputs if tensor.batch is None}
    return {name: array[:1] if name in free else array for name, array in feeds.items()}


def rows(feeds: Feeds) -> int:
    """How many inputs a batch holds."""
    array = next(iter(feeds.values()))
    return len(array) if array.ndim else 1


def _size(numbers: int) -> int:
    return max(1, min(LARGEST_BATCH, LARGEST_FEED // max(1, numbers)))


def _as_taken(values: Array, tensor: Tensor, original: Original) -> Array:
    given = original.input
    if isinstance(given, ImageInput) and given.layout == "NHWC":
        values = np.moveaxis(values, 1, -1)
    return np.ascontiguousarray(values, tensor.dtype.numpy())
