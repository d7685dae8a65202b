"""How far outputs lie from their reference: arrays in, numbers out.

Relative error is ``max|y - reference| / max|reference|`` over all samples of an output; with
several outputs the worst counts.

A softmax that saturates hides what goes wrong before it: of its probabilities the logarithms are
compared, which are the logits again but for a constant. (Not those of a sigmoid: ONNX Runtime's is
an approximation that is right to 1e-8 of 1, not to 1e-7 of a small probability.)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = list[NDArray[Any]]


def joined(runs: Sequence[Arrays]) -> Arrays:
    """The outputs of all batches, one array an output.

    Batches follow each other along the first axis; where that is not the batch and they do not fit,
    as one row of numbers.
    """
    return [_joined_one([np.atleast_1d(one) for one in each]) for each in zip(*runs, strict=True)]


def unsaturated(arrays: Arrays, smallest: Sequence[float | None]) -> Arrays:
    """Outputs such that an error in them shows.

    Args:
        arrays: One array an output.
        smallest: Of an output that holds probabilities the smallest that its type tells from zero;
            None for other outputs.

    Returns:
        ``log(p) - 1`` of probabilities, everything else as it is. The one keeps the scale of an
        output away from zero whose probabilities are all close to 1.
    """
    return [
        array if least is None else np.log(np.maximum(array.astype(np.float64), least)) - 1
        for array, least in zip(arrays, smallest, strict=True)
    ]


def absolute(expected: Arrays, actual: Arrays) -> float:
    """The largest absolute error of any output."""
    return float(np.max([*map(_largest_difference, expected, actual)]))


def relative(expected: Arrays, actual: Arrays) -> float:
    """The worst relative error of any output; not a number if an output holds one."""
    errors = []
    for wanted, found in zip(expected, actual, strict=True):
        error, scale = _largest_difference(wanted, found), _scale(wanted)
        # An output that is zero everywhere has no scale: then any difference is infinite.
        errors.append(error / scale if scale else (np.inf if error else 0.0))
    return float(np.max(errors))


def root_mean_square(expected: Arrays, actual: Arrays) -> float:
    """The worst output's ``|y - reference| / |reference|`` in the Euclidean norm.

    Of two models that are about as far off, the largest error of some thousand numbers is a
    lottery; their root mean square is not.
    """
    return max(map(_in_euclidean_norm, expected, actual), default=0.0)


def is_constant(outputs: Arrays, tolerance: float) -> bool:
    """Whether all samples put out what the first does, within `tolerance` of an output's scale."""
    return all(
        _largest_difference(array[:1], array) <= tolerance * _scale(array) for array in outputs
    )


def top1_agreement(expected: Arrays, actual: Arrays) -> float | None:
    """The share of samples whose largest number is the same; None without rows to rank."""
    wanted, found = expected[0], actual[0]
    if wanted.ndim != 2 or wanted.shape[1] < 2:  # no rows of at least two numbers
        return None
    return float((wanted.argmax(axis=1) == found.argmax(axis=1)).mean())


def _joined_one(batches: Arrays) -> NDArray[Any]:
    if len({batch.shape[1:] for batch in batches}) > 1:
        batches = [batch.ravel() for batch in batches]
    return np.concatenate(batches)


def _largest_difference(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    difference = actual.astype(np.float64) - expected.astype(np.float64)
    return float(np.abs(difference).max(initial=0.0))


def _in_euclidean_norm(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    wanted = expected.astype(np.float64)
    error = float(np.linalg.norm(actual.astype(np.float64) - wanted))
    scale = float(np.linalg.norm(wanted))
    return error / scale if scale else (float(np.inf) if error else 0.0)


def _scale(array: NDArray[Any]) -> float:
    return float(np.abs(array.astype(np.float64)).max(initial=0.0))
