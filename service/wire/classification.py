"""An output as its highest classes: Triton's classification extension.

https://github.com/triton-inference-server/server, ``docs/protocol/extension_classification.md``.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from service.artifact.signature import Array, TensorSpec


def can_classify(spec: TensorSpec) -> bool:
    """Whether an output's values have an order."""
    return spec.datatype not in {"BOOL", "BYTES"}


def classify(spec: TensorSpec, array: Array, classes: int, labels: Sequence[str] | None) -> Array:
    """Return the highest values of an output as texts ``value:index`` or ``value:index:label``.

    The highest comes first; equal ones stand by their index, what is no number comes last.

    Args:
        spec: whether the first dimension is one of rows, each with classes of its own.
        array: the output.
        classes: how many of each row; more than there are means all.
        labels: names of classes; used where there is one for each.

    Returns:
        Texts, shape (rows, classes), or (classes,) of an output without rows.
    """
    batched = bool(spec.shape) and isinstance(spec.shape[0], str)
    count = array.shape[0] if batched else 1
    rows = array.reshape(count, math.prod(array.shape[batched:]))
    order = np.argsort(_descending(rows), axis=1, kind="stable")[:, :classes]
    highest = np.take_along_axis(rows, order, axis=1)
    names = labels if labels is not None and len(labels) == rows.shape[1] else None
    texts = [
        _text(value, index, names)
        for value, index in zip(
            highest.reshape(-1).tolist(), order.reshape(-1).tolist(), strict=True
        )
    ]
    return np.array(texts, dtype=np.object_).reshape(order.shape if batched else -1)


def _descending(values: Any) -> Any:
    """Return keys that ascend as the values descend; minus an unsigned integer would not."""
    return -values if values.dtype.kind == "f" else ~values


def _text(value: float, index: int, labels: Sequence[str] | None) -> str:
    # As std::to_string writes them, which is what Triton's clients have seen so far.
    number = str(value) if isinstance(value, int) else f"{value:f}"
    return f"{number}:{index}" if labels is None else f"{number}:{index}:{labels[index]}"
