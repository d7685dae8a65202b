"""How long one input takes, before and after, measured in pairs."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir

from export import runtime
from export.signature import draw, signature
from export.sources.original import Original

WARM_UP_RUNS = 3  # the first allocates, the second sees the arena, the third is like the rest
PAIRS = 50
BUDGET_S = 3.0  # a network of a second a run is told apart by three pairs as well


@dataclass(frozen=True)
class Latency:
    """Medians in milliseconds, one input at a time, one thread.

    Attributes:
        unfolded_ms: Of the original.
        folded_ms: Of the folded model.
    """

    unfolded_ms: float
    folded_ms: float


def measure(original: Original, folded: bytes, budget_s: float = BUDGET_S) -> Latency:
    """Run original and folded model in turns, both with all of ONNX Runtime's optimizations.

    Args:
        original: The original.
        folded: The folded model, serialized.
        budget_s: No pair is begun after so many seconds.
    """
    graph = signature(original.model)
    shape = original.input.shape if len(graph.inputs) == 1 else None
    feeds = draw(graph.inputs, 1, np.random.default_rng(0), shape, original.input.value_range)
    unfolded_bytes: bytes = ir.to_proto(original.model).SerializeToString()
    runners = [runtime.load(data, optimized=True) for data in (unfolded_bytes, folded)]
    return Latency(*medians([partial(runner, feeds) for runner in runners], budget_s))


def medians(runs: Sequence[Callable[[], object]], budget_s: float = BUDGET_S) -> list[float]:
    """Take turns, so that whatever else the machine does meets all of them.

    Args:
        runs: What is measured.
        budget_s: No turn is begun after so many seconds.

    Returns:
        The median of each in milliseconds.
    """
    times: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + budget_s
    for turn in range(WARM_UP_RUNS + PAIRS):
        if times[0] and time.perf_counter() > end:
            break
        for run, taken in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            if turn >= WARM_UP_RUNS:
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) * 1e3 for taken in times]
