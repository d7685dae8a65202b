"""The batches that threads run: one for each thread, and full ones that stand ready behind.

A thread that has ended a run would wait for a turn of the event loop until it has the next one,
and the loop is busiest when there is most to run. So behind the runs under way there may be as
many batches more, but full ones alone: nobody could still join them, and in no run are fewer
rows than could be.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic

from service.batching.runners import Item, Outcome, Result, Run, Runners, attempt
from service.batching.waiting import Call, rows_of


@dataclass(eq=False, slots=True)
class _Batch(Generic[Item, Result]):
    """Calls that share a run.

    Args:
        calls: as the event loop sees them.
        since: when a thread was free for it, on the clock of ``time.monotonic``.
        begun: those that were still wanted when a thread began with it; the thread's.
    """

    calls: list[Call[Item, Result]]
    since: float
    begun: Sequence[Call[Item, Result]] = ()

    @property
    def rows(self) -> int:
        return rows_of(self.calls)


class Lineup(Generic[Item, Result]):
    """Keeps the threads busy; made inside a running event loop.

    Args:
        run: answers a batch.
        threads: runs at once.
        take: returns the next batch for a thread that is free, or, told in how many seconds one
            will be, a full batch; an empty one if there is none.
        lasts: tells the seconds of a run of so many rows.
        done: told of a batch that was run, how that went, and for how many seconds it had a
            thread. Of those that were given up before their run nothing is told.
    """

    def __init__(
        self,
        run: Run[Item, Result],
        threads: int,
        take: Callable[[float | None], list[Call[Item, Result]]],
        lasts: Callable[[int], float],
        done: Callable[[Sequence[Call[Item, Result]], Outcome[Result], float], None],
    ) -> None:
        self._run = run
        self._threads = threads
        self._take = take
        self._lasts = lasts
        self._done = done
        self._runners: Runners[Result] = Runners(threads)
        self._batches: list[_Batch[Item, Result]] = []  # the first ones are under way

    def __iter__(self) -> Iterator[Call[Item, Result]]:
        """Yield the calls of every batch."""
        for batch in self._batches:
            yield from batch.calls

    @property
    def under_way(self) -> int:
        """Runs now."""
        return min(len(self._batches), self._threads)

    @property
    def running_rows(self) -> int:
        """Rows in the runs under way."""
        return sum(batch.rows for batch in self._batches[: self._threads])

    @property
    def ready_rows(self) -> int:
        """Rows that wait for a thread."""
        return sum(batch.rows for batch in self._batches[self._threads :])

    def leave(self, call: Call[Item, Result]) -> None:
        """Remove a call, if it is in a batch that waits for a thread."""
        for batch in self._batches[self._threads :]:
            batch.calls = [each for each in batch.calls if each is not call]

    def fill(self) -> None:
        """Take what there is to run, and what will be the next."""
        while len(self._batches) < self._threads and (calls := self._take(None)):
            self._line_up(calls)
        while self._threads <= len(self._batches) < 2 * self._threads:
            calls = self._take(self._free_in())
            if not calls:
                return
            self._line_up(calls)

    def close(self) -> None:
        """End the threads after the batches that are lined up; waits for none."""
        self._runners.close()

    def join(self, timeout_s: float) -> None:
        """Wait, after ``close``, until the threads have ended; blocks for no longer than said."""
        self._runners.join(timeout_s)

    def _free_in(self) -> float:
        """Return in how many seconds a thread will be free, as far as is known."""
        runs = self._batches[: self._threads]
        return max(0.0, min(run.since + self._lasts(run.rows) for run in runs) - time.monotonic())

    def _line_up(self, calls: list[Call[Item, Result]]) -> None:
        batch = _Batch(calls, time.monotonic())
        self._batches.append(batch)
        self._runners.start(partial(self._attempt, batch), partial(self._finish, batch))

    def _attempt(self, batch: _Batch[Item, Result]) -> Outcome[Result]:
        """Run what is still wanted of a batch; called in a thread."""
        batch.begun = [call for call in batch.calls if not call.answer.done()]
        if batch.begun:
            return attempt(self._run, [call.item for call in batch.begun])
        now = time.monotonic()
        return Outcome((), None, now, now)

    def _finish(self, batch: _Batch[Item, Result], outcome: Outcome[Result]) -> None:
        # By the loop's clock: to hear of an end takes time that every run takes.
        now = time.monotonic()
        self._batches.remove(batch)
        if len(self._batches) >= self._threads:
            self._batches[self._threads - 1].since = now
        if batch.begun:
            self._done(batch.begun, outcome, now - batch.since)
        else:
            self.fill()
