"""Batches for threads: full ones stand ready, and what is given up leaves them."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from service.batching.lineup import Lineup
from service.batching.runners import Outcome
from service.batching.waiting import Answered, Call
from tests.service.fakes import PATIENCE_S

pytestmark = pytest.mark.anyio

Batch = list[Call[int, int]]


class Threads:
    """A lineup of one thread, what it takes, and what comes of it."""

    def __init__(self) -> None:
        self.next: list[Batch] = []  # for a thread that is free
        self.full: list[Batch] = []
        self.free_in: list[float] = []
        self.runs: list[list[int]] = []
        self.done: list[tuple[list[int], float]] = []
        self.began = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.lineup = Lineup(self._run, 1, self._take, lambda rows: 100.0 * rows, self._done)

    def _run(self, items: Sequence[int]) -> Sequence[int]:
        self.runs.append([*items])
        self.began.release()
        assert self.go.acquire(timeout=PATIENCE_S)
        return items

    def _take(self, free_in: float | None) -> Batch:
        if free_in is not None:
            self.free_in.append(free_in)
        waiting = self.next if free_in is None else self.full
        return waiting.pop(0) if waiting else []

    def _done(self, calls: Sequence[Call[int, int]], outcome: Outcome[int], seconds: float) -> None:
        assert outcome.results == [call.item for call in calls]
        self.done.append(([call.item for call in calls], seconds))
        self.lineup.fill()

    async def finish(self, batches: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.done) < batches:  # noqa: ASYNC110 -- a thread's
                await asyncio.sleep(0.001)


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    made = Threads()
    yield made
    made.lineup.close()
    made.lineup.join(PATIENCE_S)


def calls(*items: int) -> Batch:
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in items]
    made: Batch = []
    for item, future in zip(items, futures, strict=True):
        answer: asyncio.Future[Answered[int]] = future
        made.append(Call(item, 1, None, answer, time.monotonic(), float("inf")))
    return made


async def test_the_thread_goes_on_with_a_full_batch_without_a_turn_of_the_loop(
    threads: Threads,
) -> None:
    threads.next, threads.full = [calls(1)], [calls(2, 3)]
    threads.lineup.fill()
    assert threads.began.acquire(timeout=PATIENCE_S)
    assert (threads.lineup.under_way, threads.lineup.running_rows) == (1, 1)
    assert threads.lineup.ready_rows == 2
    assert [call.item for call in threads.lineup] == [1, 2, 3]
    threads.go.release()
    assert threads.began.acquire(timeout=PATIENCE_S), "the loop has had no turn"
    threads.go.release()
    await threads.finish(2)
    assert threads.runs == [[1], [2, 3]]
    assert [items for items, _ in threads.done] == [[1], [2, 3]]
    assert threads.lineup.under_way == threads.lineup.ready_rows == 0


async def test_no_more_than_one_batch_stands_ready_for_each_thread(threads: Threads) -> None:
    threads.next, threads.full = [calls(1), calls(2)], [calls(3), calls(4)]
    threads.lineup.fill()
    assert threads.lineup.ready_rows == 1
    assert threads.full, "one is left"
    assert threads.next, "and what is not full waits for a thread that is free"
    for _ in range(4):
        threads.go.release()
    await threads.finish(4)
    assert threads.runs == [[1], [3], [4], [2]]


async def test_a_full_batch_is_told_when_it_can_begin(threads: Threads) -> None:
    threads.next = [calls(1, 2)]
    threads.lineup.fill()
    [free_in] = threads.free_in
    assert 200 - PATIENCE_S < free_in <= 200
    threads.go.release()
    await threads.finish(1)


async def test_who_gives_up_leaves_the_batch_that_stands_ready(threads: Threads) -> None:
    first, second = calls(1), calls(2, 3)
    threads.next, threads.full = [first], [second]
    threads.lineup.fill()
    assert threads.began.acquire(timeout=PATIENCE_S)
    second[0].answer.set_result(Answered(0, 0.0, (1, 0.0, 0.0)))
    threads.lineup.leave(second[0])
    threads.lineup.leave(first[0])  # which is in a run, and stays
    assert threads.lineup.ready_rows == 1
    assert threads.lineup.running_rows == 1
    threads.go.release(2)
    await threads.finish(2)
    assert threads.runs == [[1], [3]]


async def test_a_batch_that_nobody_wants_any_more_costs_no_run(threads: Threads) -> None:
    unwanted = calls(2)
    threads.next, threads.full = [calls(1), calls(3)], [unwanted]
    threads.lineup.fill()
    assert threads.began.acquire(timeout=PATIENCE_S)
    unwanted[0].answer.set_result(Answered(0, 0.0, (1, 0.0, 0.0)))  # the loop hears of it later
    threads.go.release(2)
    await threads.finish(2)
    assert threads.runs == [[1], [3]]
    assert [items for items, _ in threads.done] == [[1], [3]]


async def test_the_time_of_a_run_that_stood_ready_begins_with_the_end_of_the_one_before(
    threads: Threads,
) -> None:
    threads.next, threads.full = [calls(1)], [calls(2)]
    began = time.monotonic()
    threads.lineup.fill()
    assert threads.began.acquire(timeout=PATIENCE_S)
    threads.go.release()
    await threads.finish(1)
    threads.go.release()
    await threads.finish(2)
    (_, first), (_, second) = threads.done
    assert min(first, second) > 0
    assert first + second <= time.monotonic() - began
