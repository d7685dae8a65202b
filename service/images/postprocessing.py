"""From a model's scores to ranked labels; pure functions on arrays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.artifact.signature import Array
from service.errors import InferenceFailed, OutputNotFinite


@dataclass  # not frozen: five of those took longer to make than their softmax
class Prediction:
    """One class of an answer."""

    label: str
    index: int
    probability: float


def probabilities(
    scores: Array, kind: Literal["logits", "probabilities", "tensor"], temperature: float = 1.0
) -> NDArray[np.float64]:
    """Return the probabilities of one row, shape (classes,), in float64.

    Logits go through a softmax shifted by their maximum, so that nothing overflows;
    a logit of minus infinity is a probability of zero.

    Args:
        scores: shape (classes,).
        kind: what they are.
        temperature: what logits are divided by (Guo et al. 2017); it changes no order.

    Raises:
        OutputNotFinite: the scores hold NaN or plus infinity.
    """
    values = scores.astype(np.float64)
    # NaN if there is one, infinity if there is one, minus infinity if there is nothing else. For
    # ten classes the methods max and sum take as long as all the rest: they go through Python.
    largest = np.maximum.reduce(values, initial=-np.inf)
    if not math.isfinite(largest):
        raise OutputNotFinite("the model's scores for this image are not finite")
    if kind != "logits":
        return values
    shifted = values - largest
    if temperature != 1:
        shifted /= temperature
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / np.add.reduce(exponentials))


def rank(
    chances: NDArray[np.float64], labels: Sequence[str] | None, top_k: int
) -> list[Prediction]:
    """Return the ``top_k`` likeliest classes, likeliest first; equal ones by their index.

    Args:
        chances: shape (classes,).
        labels: names of the classes; without them a class is named by its index.
        top_k: how many; more than there are classes means all.

    Raises:
        InferenceFailed: there is not a label for each class; a graph may leave their number open.
    """
    if labels and len(labels) != len(chances):
        raise InferenceFailed(f"the model has {len(labels)} labels and scored {len(chances)}")
    order = (-chances).argsort(kind="stable")[:top_k]
    return [
        Prediction(labels[i] if labels else str(i), i, chance)
        for i, chance in zip(order.tolist(), chances[order].tolist(), strict=True)
    ]
