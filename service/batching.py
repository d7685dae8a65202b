"""Groups what is waiting into runs, the moment a runner is free.

    submit → waiting (bounded, in rows) → a batch → run → each call's own result

The batcher knows neither HTTP nor arrays: it is given items, how many rows each counts, and
a function that answers a list of items. It runs on one event loop and needs no lock.

- A free runner takes what waits; it lingers only if ``max_queue_delay_s`` says so.
- Rows, not calls, count against ``max_batch_size`` and ``max_queue_size``.
- A call with more rows than ``max_batch_size`` is refused, never split: one call is one run.
- Only items of equal ``key`` share a run; the oldest waiting item decides which.
- A call that is cancelled or past its deadline leaves the queue at once and costs no run;
  if its run has begun, its result is dropped and its mates never notice.
- A failing run of several calls is repeated call by call, so that only the guilty fail.
- ``close`` stops admission, lets what was admitted finish, and then ends the runners.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import BatchTooLarge, DeadlineExceeded, QueueFull, ShuttingDown

Item = TypeVar("Item")
Result = TypeVar("Result")

Run = Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]
"""Answers a list of items, one result each, in their order."""


@dataclass(frozen=True)
class Limits:
    """How far a batcher goes.

    Args:
        max_batch_size: rows of one run.
        max_queue_size: rows that may wait.
        max_queue_delay_s: seconds that the oldest call may wait for the batch to fill.
        runners: runs at once.
    """

    max_batch_size: int
    max_queue_size: int
    max_queue_delay_s: float = 0.0
    runners: int = 1


@dataclass(eq=False)
class _Call(Generic[Item, Result]):
    item: Item
    rows: int
    key: Hashable
    answer: "asyncio.Future[Result]"
    since: float
    deadline: float


class Batcher(Generic[Item, Result]):
    """Runs calls in batches; made inside a running event loop.

    Args:
        run: answers a batch; at most ``limits.runners`` of it are awaited at once.
        limits: sizes and delays.
        on_batch: told the rows of each batch and the seconds its calls waited.
    """

    def __init__(
        self,
        run: Run[Item, Result],
        limits: Limits,
        on_batch: Callable[[int, Sequence[float]], None] = lambda _rows, _waits: None,
    ) -> None:
        self._run = run
        self._limits = limits
        self._on_batch = on_batch
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[_Call[Item, Result], None] = {}
        self._rows = 0
        self._closed = False
        self._changed = asyncio.Event()
        self._runners = [self._loop.create_task(self._work()) for _ in range(limits.runners)]

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for a run now."""
        return self._rows

    async def submit(
        self, item: Item, *, rows: int = 1, key: Hashable = None, deadline: float = math.inf
    ) -> Result:
        """Return the answer to one item.

        Args:
            item: handed to ``run`` as it is.
            rows: what it counts; an item without rows still takes one place.
            key: items of different keys never share a run.
            deadline: on the loop's monotonic clock; after it the call fails.

        Raises:
            BatchTooLarge: more rows than one run takes.
            QueueFull: no place; refused at once.
            ShuttingDown: the batcher was closed.
            DeadlineExceeded: not answered in time.
            Exception: what ``run`` raised for this item.
        """
        call = self._admit(item, max(rows, 1), key, deadline)
        timer = self._loop.call_at(deadline, self._expire, call) if deadline < math.inf else None
        try:
            return await call.answer
        finally:
            self._leave(call)
            if timer is not None:
                timer.cancel()
            if not call.answer.cancelled():
                call.answer.exception()  # a call cancelled as it failed has nobody else to ask

    def stop_admitting(self) -> None:
        """Refuse every call from now on; what was admitted is still answered."""
        self._closed = True
        self._changed.set()

    async def close(self, grace_s: float) -> bool:
        """Stop admission, drain, end; return whether everything admitted was answered.

        What is not answered after ``grace_s`` seconds fails with ``ShuttingDown``.
        """
        self.stop_admitting()
        _, unfinished = await asyncio.wait(self._runners, timeout=grace_s)
        for runner in unfinished:
            runner.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        for call in tuple(self._waiting):
            _fail(call, ShuttingDown("the server ended before this request's turn came"))
        return not unfinished

    def _admit(self, item: Item, rows: int, key: Hashable, deadline: float) -> _Call[Item, Result]:
        if self._closed:
            raise ShuttingDown("the server is shutting down")
        if rows > self._limits.max_batch_size:
            raise BatchTooLarge(
                f"the request has {rows} rows, a run takes {self._limits.max_batch_size}"
            )
        if self._rows + rows > self._limits.max_queue_size:
            raise QueueFull(f"{self._rows} rows are waiting; try again later")
        answer: asyncio.Future[Result] = self._loop.create_future()
        call = _Call(item, rows, key, answer, self._loop.time(), deadline)
        self._waiting[call] = None
        self._rows += rows
        self._changed.set()
        return call

    def _leave(self, call: _Call[Item, Result]) -> None:
        if call in self._waiting:
            del self._waiting[call]
            self._rows -= call.rows

    def _expire(self, call: _Call[Item, Result]) -> None:
        self._leave(call)
        _fail(call, DeadlineExceeded("the request was not answered in time"))

    async def _work(self) -> None:
        """One runner: take a batch, answer it, again, until closed and drained."""
        while await self._something_waits():
            if self._limits.max_queue_delay_s:
                await self._linger()
            batch = self._take()
            if batch:
                await self._answer(batch)

    async def _something_waits(self) -> bool:
        while not self._waiting:
            if self._closed:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    async def _linger(self) -> None:
        """Wait until a batch is full, its oldest call has waited enough, or the end comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._oldest() + self._limits.max_queue_delay_s):
                while self._waiting and not self._closed:
                    if self._rows >= self._limits.max_batch_size:
                        return
                    self._changed.clear()
                    await self._changed.wait()

    def _oldest(self) -> float:
        return next(iter(self._waiting)).since

    def _take(self) -> list[_Call[Item, Result]]:
        """Remove the oldest call and those behind it that fit into its run, in order."""
        batch: list[_Call[Item, Result]] = []
        room = self._limits.max_batch_size
        now = self._loop.time()
        for call in tuple(self._waiting):
            if call.deadline <= now:  # the loop was too busy for its timer
                self._expire(call)
                continue
            if call.answer.done():  # cancelled, and its caller had no turn yet to leave
                self._leave(call)
                continue
            if batch and call.key != batch[0].key:
                continue
            if call.rows > room:
                break
            batch.append(call)
            room -= call.rows
        for call in batch:
            self._leave(call)
        return batch

    async def _answer(self, batch: list[_Call[Item, Result]]) -> None:
        now = self._loop.time()
        self._on_batch(sum(call.rows for call in batch), [now - call.since for call in batch])
        try:
            await self._run_batch(batch)
        except asyncio.CancelledError:
            for call in batch:
                _fail(call, ShuttingDown("the server ended during this request's run"))
            raise

    async def _run_batch(self, batch: list[_Call[Item, Result]]) -> None:
        try:
            results = await self._run([call.item for call in batch])
            pairs = list(zip(batch, results, strict=True))
        except Exception as error:  # noqa: BLE001 -- whatever a model raises, the loop lives on
            await self._single_out(batch, error)
        else:
            for call, result in pairs:
                if not call.answer.done():
                    call.answer.set_result(result)

    async def _single_out(self, batch: list[_Call[Item, Result]], error: Exception) -> None:
        """Give a lone call its error; run the calls of a larger batch one by one."""
        if len(batch) == 1:
            _fail(batch[0], error)
            return
        for call in batch:
            if not call.answer.done():
                await self._run_batch([call])


def _fail(call: _Call[Item, Result], error: Exception) -> None:
    if not call.answer.done():
        call.answer.set_exception(error)
