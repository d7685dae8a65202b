"""How long one input takes, before and after, measured in pairs."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir

from export import runtime
from export.errors import SourceError
from export.signature import draw, signature
from export.sources.original import Original

WARM_UP_RUNS = 3  # the first allocates, the second sees the arena, the third is like the rest
TURNS = 500  # what takes microseconds differs by a tenth from turn to turn
# Where the weights of a model land in memory is worth up to 5 %: the same graph measured against
# itself differed by so much from loading to loading.
LOADINGS = 3
BUDGET_S = 3.0  # a network of a second a run is told apart by three turns as well


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
    unfolded = _serialized(original.model)
    runners = [runtime.load(data, optimized=True) for data in (unfolded, folded)]
    return Latency(*medians([partial(runner, feeds) for runner in runners], budget_s))


def measuring(
    model: ir.Model,
    target: str,
    input_shape: tuple[int, ...] | None = None,
    value_range: tuple[float, float] | None = None,
) -> Callable[[Sequence[ir.Model]], list[float]] | None:
    """What measures variants of a model on a device, one input at a time.

    Args:
        model: The model whose inputs they take.
        target: "cpu" or "cuda".
        input_shape: Of one input without the batch, for a graph that leaves it free.
        value_range: Smallest and largest value of an input, if known.

    Returns:
        A function from models to medians in milliseconds; None if the device is not here, or
        nothing says how large an input is.
    """
    if target not in runtime.devices():
        return None
    graph = signature(model)
    shape = input_shape if len(graph.inputs) == 1 else None
    try:
        feeds = draw(graph.inputs, 1, np.random.default_rng(0), shape, value_range)
        runtime.load(_serialized(model), optimized=True, device=target)(feeds)
    except SourceError:
        return None

    def measure(models: Sequence[ir.Model]) -> list[float]:
        serialized = [_serialized(one) for one in models]
        clock = time.thread_time if target == "cpu" else time.perf_counter
        found = []
        for _ in range(LOADINGS):
            runners = [runtime.load(one, optimized=True, device=target) for one in serialized]
            runs = [partial(runner, feeds) for runner in runners]
            found.append(medians(runs, BUDGET_S / LOADINGS, clock))
        return [statistics.median(times) for times in zip(*found, strict=True)]

    return measure


def _serialized(model: ir.Model) -> bytes:
    data: bytes = ir.to_proto(model).SerializeToString()
    return data


def medians(
    runs: Sequence[Callable[[], object]],
    budget_s: float = BUDGET_S,
    clock: Callable[[], float] = time.thread_time,
) -> list[float]:
    """Take turns, so that whatever else the machine does meets all of them.

    Args:
        runs: What is measured.
        budget_s: No turn is begun after so many seconds.
        clock: Seconds. With one thread, ONNX Runtime runs in the caller's, whose processor time is
            the latency on an idle machine and on a busy one leaves out what others take. What
            waits for another device is measured by `time.perf_counter`.

    Returns:
        The median of each in milliseconds.
    """
    times: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + budget_s
    for turn in range(WARM_UP_RUNS + TURNS):
        if times[0] and time.perf_counter() > end:
            break
        first = turn % len(runs)  # no place in the row is a favour
        for index in (*range(first, len(runs)), *range(first)):
            start = clock()
            runs[index]()
            if turn >= WARM_UP_RUNS:
                times[index].append(clock() - start)
    return [statistics.median(taken) * 1e3 for taken in times]
