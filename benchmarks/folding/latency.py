"""How long models take compared with the unfolded one, measured in turns.

All run in ONNX Runtime with all of its optimizations on one thread, the caller's. A turn runs each
of them once, and every ratio is of two runs of one turn: what else the machine does meets both. The
clock counts the time that the thread has a processor: on an idle machine that is the latency, on a
busy one it leaves out what others take.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
WARM_UP_TURNS = 3  # the first allocates, the second sees the arena, the third is like the rest
MOST_TURNS = 200
FEWEST_TURNS = 5  # fewer have no median to speak of
CONFIDENCE = 1.96  # standard deviations on either side of 95 % of a normal distribution
# A median's standard error is 1.2533 times a mean's, sigma / sqrt(n); and sigma is the
# interquartile range / 1.349 (both of the normal distribution).
MEDIAN_ERROR = 1.2533 / 1.349


@dataclass(frozen=True)
class Ratio:
    """Latency over that of the unfolded model.

    Attributes:
        median: Over all turns.
        margin: Half the width of its 95 % confidence interval, about.
    """

    median: float
    margin: float


def turns(runs: Sequence[Callable[[], object]], budget_s: float) -> Samples:
    """Run models in turns.

    Args:
        runs: The unfolded model's run first, then the folded ones'.
        budget_s: No turn is begun after so many seconds, but for the fewest.

    Returns:
        Of every turn the ratios to the unfolded model, shape (turns, models - 1).
    """
    taken: list[list[float]] = []
    end = time.perf_counter() + budget_s
    for number in range(WARM_UP_TURNS + MOST_TURNS):
        if len(taken) >= FEWEST_TURNS and time.perf_counter() > end:
            break
        seconds = _turn(runs, first=number % len(runs))
        if number >= WARM_UP_TURNS:
            taken.append(seconds)
    table = np.array(taken)
    ratios: Samples = table[:, 1:] / table[:, :1]
    return ratios


def milliseconds(run: Callable[[], object]) -> float:
    """About how long one run takes: the fastest of a few."""
    return min(_turn([run], first=0)[0] for _ in range(1 + WARM_UP_TURNS)) * 1e3


def ratio(rounds: Sequence[Samples]) -> Ratio:
    """The median of samples, and how well it is known.

    Args:
        rounds: Of every loading of the models the samples, shape (turns,). Where a model's weights
            came to lie in memory is worth some percent, and changes only with its loading: so the
            margin is not below half of what lies between the rounds.
    """
    samples = np.concatenate(rounds)
    low, median, high = np.percentile(samples, [25, 50, 75])
    margin = CONFIDENCE * MEDIAN_ERROR * (high - low) / np.sqrt(len(samples))
    medians = [np.median(one) for one in rounds]
    return Ratio(float(median), float(max(margin, (max(medians) - min(medians)) / 2)))


def _turn(runs: Sequence[Callable[[], object]], first: int) -> list[float]:
    """Seconds of each; another one begins every time, so that no place in the row is a favour."""
    taken = [0.0] * len(runs)
    for index in (*range(first, len(runs)), *range(first)):
        start = time.thread_time()
        runs[index]()
        taken[index] = time.thread_time() - start
    return taken
