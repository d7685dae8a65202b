"""Groups what is waiting into runs: in place, or in a thread the moment that one is free.

    submit → waiting (bounded, in rows) → a batch → run → each call's own result

The batcher knows neither HTTP nor arrays: it is given items, how many rows each counts, and
a function that answers a list of items. It lives on one event loop and needs no lock.

There are two roads for a run: on the event loop's own thread (`in_place.py`), or in threads, where
what arrives while they are busy is the next batch (`lineup.py`). On both,

- a call on an idle server runs at once; it lingers only if ``max_queue_delay_s`` says so;
- rows, not calls, count against ``max_batch_size`` and ``max_queue_size``;
- a call that would be late, by the pace of the runs so far, is refused at once (`admission.py`);
- a call with more rows than ``max_batch_size`` is refused, never split: one call is one run;
- a run in place that takes long is the last one in place;
- only items of equal ``key`` share a run; the oldest waiting item decides which;
- a thread that ends a run has the next full batch at once;
- a thread's batch ends where one more row would make those in it late, and has nobody in it who
  will be late anyhow while there is somebody who will not (`waiting.py`);
- a call that is cancelled or past its deadline leaves the queue at once and costs no run;
  if its run has begun, its result is dropped and its mates never notice;
- a failing run of several calls is repeated call by call, so that only the guilty fail;
- ``close`` stops admission, lets what was admitted finish, and then ends the runners.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic

from service.batching.admission import Admission, Limits
from service.batching.alarm import Alarm
from service.batching.in_place import InPlace
from service.batching.lineup import Lineup
from service.batching.runners import Item, Outcome, Result, Run
from service.batching.waiting import Answered, Call, Promise, Waiting, give, rows_of
from service.errors import ShuttingDown

# A run in place that takes as long was not as short as it was taken for: the next are the threads'.
_HELD_UP_S = 0.5


class Batcher(Generic[Item, Result]):
    """Runs calls in batches; made inside a running event loop.

    Args:
        run: answers a batch; called from ``limits.runners`` threads, or from the loop's alone.
        limits: sizes and delays.
        in_place: whether runs hold up the event loop, which pays where they are short.
        on_run: told the rows and seconds of each run.
    """

    def __init__(
        self,
        run: Run[Item, Result],
        limits: Limits,
        *,
        in_place: bool = False,
        on_run: Callable[[int, float], None] = lambda _rows, _seconds: None,
    ) -> None:
        self.in_place = in_place  # until a run that is too long for it
        self._run = run
        self._limits = limits
        self._on_run = on_run
        self._loop = asyncio.get_running_loop()
        self._waiting: Waiting[Item, Result] = Waiting()
        self._suspects: deque[Call[Item, Result]] = deque()  # of failed runs, each to run alone
        self._admission = Admission(limits, 1 if in_place else limits.runners)
        self._road = self._in_place() if in_place else self._threads()
        self._closed = False
        self._drained = asyncio.Event()
        self._flush_is_due = False
        self._lingering = Alarm(self._flush)
        self._deadlines = Alarm(self._expire)

    @property
    def runs_at_once(self) -> bool:
        """Whether a call is over in the turn of the loop in which it came, or in the next."""
        return self.in_place and not self._limits.max_queue_delay_s

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for a run now."""
        return self._waiting.rows + self._road.ready_rows

    @property
    def running_rows(self) -> int:
        """Rows in the runs under way; those in place are over before anyone can ask."""
        return self._road.running_rows

    async def submit(
        self, item: Item, *, rows: int = 1, key: Hashable = None, deadline: float = math.inf
    ) -> Answered[Result]:
        """Return the answer to one item.

        Args:
            item: handed to ``run`` as it is.
            rows: what it counts; an item without rows still takes one place.
            key: items of different keys never share a run.
            deadline: on the clock of ``time.monotonic``; after it the call fails.

        Raises:
            BatchTooLarge: more rows than one run takes.
            QueueFull, Overloaded: no place, or none in time; refused at once.
            ShuttingDown: the batcher was closed.
            DeadlineExceeded: not answered in time.
            Exception: what ``run`` raised for this item.
        """
        answer: asyncio.Future[Answered[Result]] = self._loop.create_future()
        call = self._admit(item, rows, key, deadline, answer)
        try:
            return await answer
        except asyncio.CancelledError:
            if not answer.cancelled():
                answer.exception()  # a call cancelled as it failed has nobody else to ask
            self.withdraw(call)
            raise

    def offer(
        self,
        item: Item,
        answer: Promise[Answered[Result]],
        *,
        rows: int = 1,
        key: Hashable = None,
        deadline: float = math.inf,
    ) -> Call[Item, Result]:
        """Take one item whose answer goes to ``answer``, for a caller that does not wait.

        Args:
            item: as ``submit`` takes it.
            answer: given the result, or what went wrong once the item is admitted.
            rows: as ``submit`` takes them.
            key: likewise.
            deadline: likewise.

        Returns:
            What ``withdraw`` takes.

        Raises:
            BatchTooLarge, QueueFull, Overloaded, ShuttingDown: not admitted.
        """
        return self._admit(item, rows, key, deadline, answer)

    def withdraw(self, call: Call[Item, Result]) -> None:
        """Let a call whose answer is done leave the queue, if it is still there."""
        self._waiting.leave(call)
        self._road.leave(call)
        if self._closed:
            self._flush_soon()

    def check_room(self, deadline: float) -> None:
        """Refuse a call of one row without having its item: a larger one has no better chance.

        Raises:
            QueueFull, Overloaded, ShuttingDown: as ``submit`` says.
        """
        self._check(1, deadline - time.monotonic())

    def stop_admitting(self) -> None:
        """Refuse every call from now on; what was admitted is still answered."""
        self._closed = True
        self._flush_soon()

    async def close(self, grace_s: float) -> bool:
        """Stop admission, drain, end; return whether everything admitted was answered.

        What is not answered after ``grace_s`` seconds fails with ``ShuttingDown``.
        """
        self.stop_admitting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._drained.wait()
        for call in tuple(self._pending()):
            self._waiting.leave(call)
            call.fail(ShuttingDown("the server ended before this request was answered"))
        self._lingering.cancel()
        self._deadlines.cancel()
        self._road.close()
        return self._drained.is_set()

    def join(self, timeout_s: float) -> None:
        """Wait, after ``close``, for the runs that it gave up; blocks for no longer than said."""
        self._road.join(timeout_s)

    def _admit(
        self,
        item: Item,
        rows: int,
        key: Hashable,
        deadline: float,
        answer: Promise[Answered[Result]],
    ) -> Call[Item, Result]:
        rows = rows or 1
        self._admission.check_size(rows)
        now = time.monotonic()
        self._check(rows, deadline - now)
        call = Call(item, rows, key, answer, now, deadline)
        self._waiting.add(call)
        self._deadlines.by(deadline)
        self._flush_soon()
        return call

    def _check(self, rows: int, time_left: float) -> None:
        if self._closed:
            raise ShuttingDown("the server is shutting down")
        under_way = self._road.under_way
        if self._waiting or under_way or self._suspects:  # else it runs at once
            waiting = self.waiting_rows + rows_of(self._suspects)
            self._admission.check_wait(rows, waiting, under_way, time_left)

    def _pending(self) -> Iterator[Call[Item, Result]]:
        """Every call that has no answer yet, wherever it is."""
        yield from self._waiting
        yield from self._suspects
        yield from self._road

    def _flush_soon(self) -> None:
        """Look for batches once everything that is due in this turn of the loop has had it."""
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_is_due = False
        self._road.fill()
        if self._closed and not any(True for _ in self._pending()):
            self._drained.set()

    def _in_place(self) -> InPlace[Item, Result] | Lineup[Item, Result]:
        return InPlace(self._run, self._next_batch, self._finish_in_place, self._flush_soon)

    def _threads(self) -> Lineup[Item, Result]:
        lasts = self._admission.lasts
        return Lineup(self._run, self._limits.runners, self._next_of_threads, lasts, self._finish)

    def _finish_in_place(
        self, batch: list[Call[Item, Result]], outcome: Outcome[Result], seconds: float
    ) -> None:
        self._learn(batch, outcome, seconds)
        if seconds >= _HELD_UP_S:
            self.in_place = False
            self._admission = Admission(self._limits, self._limits.runners)
            self._road = self._threads()
        give(batch, outcome)

    def _finish(
        self, batch: Sequence[Call[Item, Result]], outcome: Outcome[Result], seconds: float
    ) -> None:
        """Take back what a thread did, and give it the next batch before anything else."""
        self._learn(batch, outcome, seconds)
        self._flush()
        give(batch, outcome)

    def _next_of_threads(self, begins_in: float | None) -> list[Call[Item, Result]]:
        lasts, most = self._admission.lasts, self._limits.max_batch_size
        if begins_in is None:
            return self._next_batch(lasts)
        return self._waiting.take(most, lambda rows: begins_in + lasts(rows), full=True)

    def _next_batch(self, lasts: Callable[[int], float] | None = None) -> list[Call[Item, Result]]:
        while self._suspects:
            call = self._suspects.popleft()
            if call.is_wanted(time.monotonic()):
                return [call]
        return [] if self._lingers() else self._waiting.take(self._limits.max_batch_size, lasts)

    def _learn(
        self, batch: Sequence[Call[Item, Result]], outcome: Outcome[Result], seconds: float
    ) -> None:
        """Take in how a run went; the calls of one that failed run again, each alone."""
        rows = rows_of(batch)
        self._on_run(rows, outcome.ended - outcome.began)
        if outcome.error is None:
            # As the next run waits for it: to wake a thread, and to hear of its end, adds up.
            self._admission.learn(rows, seconds)
        elif len(batch) > 1:
            self._suspects.extend(batch)

    def _lingers(self) -> bool:
        """Return whether a batch is still to fill; it is looked at again when it is time."""
        limits = self._limits
        if not limits.max_queue_delay_s or self._closed or not self._waiting:
            return False
        until = next(iter(self._waiting)).since + limits.max_queue_delay_s
        if until <= time.monotonic() or self._waiting.rows >= limits.max_batch_size:
            return False
        self._lingering.by(until)
        return True

    def _expire(self) -> None:
        now = time.monotonic()
        for call in tuple(self._pending()):
            if call.is_wanted(now):
                self._deadlines.by(call.deadline)
            else:
                self.withdraw(call)
