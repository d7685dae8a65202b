"""How long models take compared with the unfolded one, measured in turns.

All run in ONNX Runtime with all of its optimizations on one thread, the caller's. A turn runs each
of them once, and every ratio is of two runs of one turn: what else the machine does meets both. The
clock counts the time that the thread has a processor: on an idle machine that is the latency, on a
busy one it leaves out what others take.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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
        margin: Half the width of its 95 % confidence interval.
    """

    median: float
    margin: float


def compare(
    baseline: Callable[[], object], others: Mapping[str, Callable[[], object]], budget_s: float
) -> dict[str, Ratio]:
    """Measure models against a baseline.

    Args:
        baseline: Runs the unfolded model once.
        others: Run the folded ones.
        budget_s: No turn is begun after so many seconds, but for the fewest.
    """
    runs = [baseline, *others.values()]
    turns: list[list[float]] = []
    end = time.perf_counter() + budget_s
    for number in range(WARM_UP_TURNS + MOST_TURNS):
        if len(turns) >= FEWEST_TURNS and time.perf_counter() > end:
            break
        taken = _turn(runs, first=number % len(runs))
        if number >= WARM_UP_TURNS:
            turns.append(taken)
    table = np.array(turns)
    return {
        name: ratio(table[:, column] / table[:, 0]) for column, name in enumerate(others, start=1)
    }


def milliseconds(run: Callable[[], object]) -> float:
    """About how long one run takes: the fastest of a few."""
    return min(_turn([run], first=0)[0] for _ in range(1 + WARM_UP_TURNS)) * 1e3


def ratio(samples: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Ratio:
    """The median of samples, shape (turns,), and how well it is known."""
    low, median, high = np.percentile(samples, [25, 50, 75])
    margin = CONFIDENCE * MEDIAN_ERROR * (high - low) / np.sqrt(len(samples))
    return Ratio(float(median), float(margin))


def _turn(runs: Sequence[Callable[[], object]], first: int) -> list[float]:
    """Seconds of each; another one begins every time, so that no place in the row is a favour."""
    taken = [0.0] * len(runs)
    for index in (*range(first, len(runs)), *range(first)):
        start = time.thread_time()
        runs[index]()
        taken[index] = time.thread_time() - start
    return taken
