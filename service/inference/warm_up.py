"""The first runs of a model, before any request: does it run, how fast, may requests share a run?

A symbolic batch dimension says that there is a row out for each row in, not that a row is
left alone by the others: a softmax over the wrong axis mixes them. Batched, such a model
would answer one client with what another sent, so two rows are run together and apart.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from service.errors import ModelLoadError, RunError
from service.inference.closeness import is_near
from service.inference.model import Model
from service.inference.sample_inputs import (
    MOST_NUMBERS,
    has_known_sizes,
    numbers_of_a_row,
    random_rows,
    zeros,
)

Clock = Callable[[], float]

# Of the largest output. Half precision and other kernels for other batches stay below 1e-3;
# a row that is mixed with another, where both are random, is off by far more.
_ROW_TOLERANCE = 1e-2

# A run is timed so many times, or until so many seconds have gone by: enough to be undisturbed
# once while other workers start, and nothing that the start would notice.
_TIMED_RUNS = 11
_TIMED_S = 0.1

# However many seconds have gone by, so many runs: where a container has used up its share of the
# processors, the kernel holds it for a tenth of a second in the middle of one.
_LEAST_RUNS = 3

# A thread that is woken and wakes the loop costs 15 to 25 us of the processor, which is a fifth
# of a lone request whose run takes 0.01 ms, a tenth of one of 0.1 ms, and not to be measured from
# 0.4 ms on: `python -m benchmarks.batching`.
LONGEST_ROW_S = 0.3e-3
# So long the loop may stand still: requests that arrive meanwhile are late by no more.
LONGEST_BATCH_S = 5e-3

# The largest batch of a slow model is not tried, if the start would wait for it so long.
_LONGEST_TRIAL_S = 0.5


@dataclass(frozen=True)
class FirstRuns:
    """What the first runs told.

    Args:
        batches: whether requests may share a run.
        in_place: whether runs are so short that the event loop should do them itself.
        row_s: seconds of the run of one row; None where sizes are open and nothing was tried.
        batch_s: seconds of the run of the largest batch, likewise, or where that is too long.
    """

    batches: bool
    in_place: bool = False
    row_s: float | None = None
    batch_s: float | None = None


def warm_up(
    model: Model, max_batch_size: int, buckets: Sequence[int] = (), clock: Clock = time.perf_counter
) -> FirstRuns:
    """Run a model in every way that requests will, so that none pays for being first; blocks.

    A model with open sizes other than the batch has no shape to try, and is left.

    Args:
        model: open.
        max_batch_size: rows of the largest batch.
        buckets: the numbers of rows that there will be; without them, any.
        clock: in seconds.

    Raises:
        ModelLoadError: the model opens and does not run.
    """
    if not has_known_sizes(model.signature):
        return FirstRuns(model.signature.batches)
    numbers = numbers_of_a_row(model.signature)
    if numbers > MOST_NUMBERS:
        raise ModelLoadError(f"one row of the inputs has {numbers} numbers, of {MOST_NUMBERS}")
    try:
        model.run(zeros(model))
    except RunError as error:
        raise ModelLoadError("the model opens and fails on its first run") from error
    if not (model.signature.batches and keeps_rows_apart(model)):
        return _unbatched(model, clock)
    try:
        row_s = _seconds(model, 1, clock)
        batch_s = _batch_seconds(model, row_s, max_batch_size, buckets, clock)
    except RunError:  # a number of rows that it does not take
        return FirstRuns(batches=False)
    in_place = row_s <= LONGEST_ROW_S and batch_s is not None and batch_s <= LONGEST_BATCH_S
    return FirstRuns(True, in_place, row_s, batch_s)


def _unbatched(model: Model, clock: Clock) -> FirstRuns:
    try:
        row_s = _seconds(model, 1, clock)
    except RunError:  # random numbers, such as indices, that it does not take
        return FirstRuns(batches=False)
    # With a size left open, which is that of the rows, another run may take any time.
    return FirstRuns(False, row_s <= LONGEST_ROW_S and not model.signature.batches, row_s)


def _batch_seconds(
    model: Model, row_s: float, max_batch_size: int, buckets: Sequence[int], clock: Clock
) -> float | None:
    """Run every size that is sure to come, and return the seconds of the largest."""
    for rows in buckets:
        model.run(random_rows(model, rows))
    numbers = max_batch_size * numbers_of_a_row(model.signature)
    if (row_s * max_batch_size > _LONGEST_TRIAL_S or numbers > MOST_NUMBERS) and not buckets:
        return None
    # That of a slow model decides nothing, and the start would wait for it.
    return _seconds(model, max_batch_size, clock, _LEAST_RUNS if row_s <= LONGEST_ROW_S else 1)


def _seconds(model: Model, rows: int, clock: Clock, least: int = _LEAST_RUNS) -> float:
    """Return the least seconds of a few runs: what disturbs a run only makes it longer."""
    inputs = random_rows(model, rows)
    model.run(inputs)  # the first run of a size makes room for it
    took: list[float] = []
    while len(took) < least or (len(took) < _TIMED_RUNS and sum(took) < _TIMED_S):
        began = clock()
        model.run(inputs)
        took.append(clock() - began)
    return min(took)


def keeps_rows_apart(model: Model) -> bool:
    """Return whether two random rows have the same answers together as alone; blocks.

    Args:
        model: whose signature batches. Where its sizes are open, its word is taken.
    """
    if not has_known_sizes(model.signature):
        return True
    rows = random_rows(model, 2)
    try:
        together = model.run(rows)
        alone = [model.run({name: rows[name][i : i + 1] for name in rows}) for i in range(2)]
    except RunError:  # a size of one is built into many graphs that say otherwise
        return False
    return all(
        is_near(together[name], np.concatenate([each[name] for each in alone]), _ROW_TOLERANCE)
        for name in together
    )
