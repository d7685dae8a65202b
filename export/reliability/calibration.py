"""The arithmetic: bins of confidence, their error, and the temperature with the best likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Guo et al. use fifteen of equal width; figures of other numbers of bins do not compare.
BINS = 15

# A temperature beyond makes every answer a guess, or every answer certain.
LOWEST, HIGHEST = 0.05, 20.0
_HALVINGS = 60  # of that interval: to the last digit of a float64

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """Samples of about the same confidence.

    Attributes:
        confidence: Mean probability of the class that was ranked first.
        accuracy: Share of them for which that was right.
        samples: How many.
    """

    confidence: float
    accuracy: float
    samples: int


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """Return probabilities (N, classes) of logits (N, classes)."""
    shifted = (logits - logits.max(axis=1, keepdims=True)) / temperature
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def bins(probabilities: Array, targets: NDArray[np.int64]) -> list[Bin]:
    """Sort samples by confidence into bins of equal width; empty ones are left out.

    Args:
        probabilities: (N, classes).
        targets: (N,).
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    # A confidence on an edge belongs to the bin below it: of 1 there is none above.
    places = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return [
        Bin(
            float(confidence[places == place].mean()),
            float(right[places == place].mean()),
            int((places == place).sum()),
        )
        for place in np.unique(places)
    ]


def expected_error(found: Sequence[Bin]) -> float:
    """Return the expected calibration error (ECE): mean distance of confidence and accuracy."""
    total = sum(each.samples for each in found)
    return sum(each.samples * abs(each.confidence - each.accuracy) for each in found) / total


def best_temperature(logits: Array, targets: NDArray[np.int64]) -> float:
    """Return the temperature with the largest likelihood of the targets.

    With 1/T the mean log-likelihood is concave; its slope, the logits of the targets less those
    that the softmax expects, falls from one end to the other and is halved in upon.

    Args:
        logits: (N, classes).
        targets: (N,).
    """
    of_targets = logits[np.arange(len(targets)), targets]
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        expected = (softmax(logits, 1 / middle) * logits).sum(axis=1)
        if (of_targets - expected).mean() > 0:
            low = middle
        else:
            high = middle
    return 2 / (low + high)
