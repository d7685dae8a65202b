"""Makes one run of the rows of several requests, and gives each request its own rows of it."""

from collections.abc import Sequence

import numpy as np

from service.artifact.signature import Array, Tensors
from service.errors import InferenceFailed
from service.inference.model import Model


def run_together(
    model: Model, requests: Sequence[Tensors], buckets: Sequence[int] = ()
) -> Sequence[Tensors]:
    """Run requests as one batch and give each its own rows; blocks.

    Args:
        model: whose outputs have a row for each row of the inputs.
        requests: of equal shapes but for the rows; a single one is run as it is.
        buckets: rising numbers of rows; a batch is padded to the next one.

    Raises:
        InferenceFailed: the model failed, or did not answer a row for a row.
    """
    if len(requests) == 1 and not buckets:
        return [model.run(requests[0])]
    names = [spec.name for spec in model.signature.inputs]
    counts = [len(tensors[names[0]]) for tensors in requests]
    rows = sum(counts)
    size = next((bucket for bucket in buckets if bucket >= rows), rows) if rows else 0
    outputs = model.run(
        {name: _joined([tensors[name] for tensors in requests], size - rows) for name in names}
    )
    if any(array.shape[:1] != (size,) for array in outputs.values()):
        raise InferenceFailed("the model's outputs do not have a row for each row of its inputs")
    return _parts(outputs, counts)


def _joined(arrays: list[Array], padding: int) -> Array:
    """Return all rows, and the last one as often again as ``padding`` says; one array is kept."""
    if padding:
        # Real values: zeros may be slower to compute with, or an index that a graph refuses.
        last = next(array for array in reversed(arrays) if len(array))[-1:]
        arrays = [*arrays, *[last] * padding]
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _parts(outputs: Tensors, counts: Sequence[int]) -> Sequence[Tensors]:
    """Return views of each request's rows; those of the padding belong to nobody."""
    parts: list[Tensors] = []
    end = 0
    for count in counts:
        start, end = end, end + count
        parts.append({name: array[start:end] for name, array in outputs.items()})
    return parts
