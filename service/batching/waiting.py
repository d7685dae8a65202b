"""The calls that wait for a run, by their arrival, and how a batch is taken of them."""

import math
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from service.batching.runners import Item, Outcome, Result
from service.errors import DeadlineExceeded

Given_contra = TypeVar("Given_contra", contravariant=True)


_LATE = "the request was not answered in time"

Ran = tuple[int, float, float]
"""A run that went well: the rows of all who shared it, when it began (``time.monotonic``), and how
many seconds it took. A plain tuple: one with names takes a fifth of a microsecond to make."""


class Answered(NamedTuple, Generic[Result]):
    """A call's result, and where its seconds went.

    Args:
        result: what the run answered for the call's item.
        queued_s: from the call to the beginning of its run.
        ran: the run, which its mates shared.
    """

    result: Result
    queued_s: float
    ran: Ran


class Promise(Protocol[Given_contra]):
    """Where a call's answer goes: a future, or anything else that takes it once."""

    def done(self) -> bool:
        """Whether it has an answer, or nobody waits for one."""

    def set_result(self, result: Given_contra, /) -> None:
        """Take the answer; raises nothing."""

    def set_exception(self, exception: Exception, /) -> None:
        """Take the error in place of the answer; raises nothing."""


@dataclass(eq=False, slots=True)
class Call(Generic[Item, Result]):
    """One call of the batcher; times are those of ``time.monotonic``."""

    item: Item
    rows: int
    key: Hashable
    answer: Promise[Answered[Result]]
    since: float
    deadline: float

    def fail(self, error: Exception) -> None:
        """Give the call an error, unless it is answered or was given up."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def is_wanted(self, now: float) -> bool:
        """Return whether the call is to be answered still; one that is late fails."""
        if self.deadline <= now:
            self.fail(DeadlineExceeded(_LATE))
        return not self.answer.done()


class Waiting(Generic[Item, Result]):
    """A queue that a call can leave from anywhere, at once and at the same price."""

    def __init__(self) -> None:
        self._calls: dict[Call[Item, Result], None] = {}
        self.rows = 0

    def __iter__(self) -> Iterator[Call[Item, Result]]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call[Item, Result]) -> None:
        """Put a call at the end."""
        self._calls[call] = None
        self.rows += call.rows

    def leave(self, call: Call[Item, Result]) -> None:
        """Remove a call, if it is there."""
        if call in self._calls:
            del self._calls[call]
            self.rows -= call.rows

    def take(
        self,
        max_rows: int,
        lasts: Callable[[int], float] | None = None,
        *,
        full: bool = False,
    ) -> list[Call[Item, Result]]:
        """Remove the oldest call and those behind it that fit into its run, in order.

        What is late, or was given up by a caller that had no turn yet to leave, is removed on
        the way. The batch is empty only if nothing is left, or if it should be full and is not.

        Args:
            max_rows: of the batch.
            lasts: tells the seconds until a run of so many rows ends. With it, what a run would
                answer too late fails at once if anything that waits can be in time: after a
                moment in which the machine stood still, else every run ends just too late. And
                the batch ends where one more call would make one late that is in it, so that who
                comes behind makes no run longer than they were let in for.
            full: whether only a batch is taken that has all its rows, in time.
        """
        if full and self.rows < max_rows:
            return []
        now = time.monotonic()
        dropped: list[Call[Item, Result]] = []
        hopeless: list[Call[Item, Result]] = []
        batch = _sharing(self._hopeful(now, lasts, dropped, hopeless), max_rows)
        if full and not (rows_of(batch) == max_rows and _in_time(batch, lasts, now) == len(batch)):
            batch = []  # and what cannot be in time may be in a run that begins now
        elif not batch:  # the pace may be mistaken: what is run is what it is learned from
            batch = _sharing(hopeless, max_rows)
        else:
            dropped += hopeless
            del batch[_in_time(batch, lasts, now) :]
        for call in (*dropped, *batch):
            self.leave(call)
        for call in dropped:  # last of all: one that fails may bring the next call at once
            call.fail(DeadlineExceeded(_LATE))
        return batch

    def _hopeful(
        self,
        now: float,
        lasts: Callable[[int], float] | None,
        dropped: list[Call[Item, Result]],
        hopeless: list[Call[Item, Result]],
    ) -> Iterator[Call[Item, Result]]:
        """Yield what can be in time; the rest, as far as it is looked at, goes into the lists."""
        for call in self._calls:
            if call.deadline <= now or call.answer.done():
                dropped.append(call)
            elif lasts is not None and now + lasts(call.rows) > call.deadline:
                hopeless.append(call)
            else:
                yield call


def _sharing(calls: Iterable[Call[Item, Result]], max_rows: int) -> list[Call[Item, Result]]:
    """Return the oldest call and those behind it that fit into its run, in order."""
    batch: list[Call[Item, Result]] = []
    for call in calls:
        if not batch or call.key == batch[0].key:
            if call.rows > max_rows:
                break
            batch.append(call)
            max_rows -= call.rows
            if not max_rows:
                break
    return batch


def rows_of(calls: Iterable[Call[Item, Result]]) -> int:
    """Return how many rows there are in all."""
    return sum([call.rows for call in calls])


def give(batch: Sequence[Call[Item, Result]], outcome: Outcome[Result]) -> None:
    """Give each call its result, or a call that was alone what went wrong."""
    results, error, began, ended = outcome
    if error is None:
        ran = rows_of(batch), began, ended - began
        for call, result in zip(batch, results, strict=True):
            if not call.answer.done():
                call.answer.set_result(Answered(result, began - call.since, ran))
    elif len(batch) == 1:
        batch[0].fail(error)


def _in_time(
    batch: Sequence[Call[Item, Result]], lasts: Callable[[int], float] | None, now: float
) -> int:
    """Return how many of a batch can run together and be in time; each can be, alone."""
    if lasts is None:
        return len(batch)
    rows, soonest = 0, math.inf
    for count, call in enumerate(batch):
        rows += call.rows
        end = now + lasts(rows)
        if end > soonest:
            return count
        if end <= call.deadline:  # else it is late without those behind it, and binds nobody
            soonest = min(soonest, call.deadline)
    return len(batch)
