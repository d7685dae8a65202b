"""The batcher's promises; time is told by futures that a test resolves, never by sleeping."""

import asyncio
import math
from collections.abc import Sequence

import pytest

from service.batching import Batcher, Limits
from service.errors import (
    BatchTooLarge,
    DeadlineExceeded,
    InferenceFailed,
    QueueFull,
    ShuttingDown,
)

pytestmark = pytest.mark.anyio

# Enough for any machine; a test that needs it has failed.
PATIENCE_S = 20


class Runner:
    """Answers item * 10; with ``held`` each run waits for ``finish``."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.poison: set[int] = set()
        self.held = held
        self._open: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        if self.held:
            gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._open.put_nowait(gate)
            await gate
        if self.poison & set(items):
            raise InferenceFailed("poison")
        return [item * 10 for item in items]

    async def began(self) -> asyncio.Future[None]:
        """Wait for a run to begin and return what ends it."""
        return await asyncio.wait_for(self._open.get(), PATIENCE_S)


def limits(**changes: float) -> Limits:
    return Limits(**({"max_batch_size": 4, "max_queue_size": 100} | changes))  # type: ignore[arg-type]  # ints by name


def call(batcher: Batcher[int, int], item: int, **how: float) -> asyncio.Task[int]:
    return asyncio.ensure_future(batcher.submit(item, **how))  # type: ignore[arg-type]  # as above


async def turn() -> None:
    """Let every task that can go on go on, up to a few steps."""
    for _ in range(5):
        await asyncio.sleep(0)


async def outcome(task: "asyncio.Task[int]") -> int | str:
    try:
        return await asyncio.wait_for(task, PATIENCE_S)
    except Exception as error:  # noqa: BLE001 -- whatever the call got
        return type(error).__name__


async def test_a_lone_call_on_an_idle_server_runs_at_once() -> None:
    runner = Runner()
    batcher = Batcher(runner, limits())
    assert await batcher.submit(7) == 70
    assert runner.batches == [[7]]
    await batcher.close(PATIENCE_S)


async def test_what_waits_while_a_run_is_on_becomes_the_next_batch() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    first = call(batcher, 1)
    end_first = await runner.began()
    others = [call(batcher, item) for item in (2, 3, 4)]
    await turn()
    assert batcher.waiting_rows == 3
    end_first.set_result(None)
    (await runner.began()).set_result(None)
    assert [await outcome(each) for each in (first, *others)] == [10, 20, 30, 40]
    assert runner.batches == [[1], [2, 3, 4]]
    await batcher.close(PATIENCE_S)


async def test_rows_and_not_calls_fill_a_batch() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    call(batcher, 0)
    end = await runner.began()
    tasks = [call(batcher, item, rows=rows) for item, rows in ((1, 3), (2, 2), (3, 2), (4, 1))]
    await turn()
    runner.held = False
    end.set_result(None)
    assert [await outcome(each) for each in tasks] == [10, 20, 30, 40]
    assert runner.batches == [[0], [1], [2, 3], [4]]
    await batcher.close(PATIENCE_S)


async def test_calls_of_different_keys_never_share_a_run() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    call(batcher, 0)
    end = await runner.began()
    tasks = [
        asyncio.ensure_future(batcher.submit(item, key=key))
        for item, key in ((1, "a"), (2, "b"), (3, "a"))
    ]
    await turn()
    runner.held = False
    end.set_result(None)
    assert [await outcome(each) for each in tasks] == [10, 20, 30]
    assert runner.batches == [[0], [1, 3], [2]]
    await batcher.close(PATIENCE_S)


async def test_cancelling_a_call_in_a_running_batch_never_harms_its_mates() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    call(batcher, 0)
    end = await runner.began()
    kept, dropped = call(batcher, 1), call(batcher, 2)
    await turn()
    end.set_result(None)
    end = await runner.began()
    dropped.cancel()
    await turn()
    end.set_result(None)
    assert await outcome(kept) == 10
    assert dropped.cancelled()
    assert runner.batches[-1] == [1, 2]
    await batcher.close(PATIENCE_S)


async def test_a_call_cancelled_while_it_waits_costs_no_run_and_frees_its_place() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits(max_queue_size=4))
    first = call(batcher, 0)
    end = await runner.began()
    waiting = call(batcher, 1, rows=4)
    await turn()
    waiting.cancel()
    await turn()
    assert batcher.waiting_rows == 0
    runner.held = False
    end.set_result(None)
    assert await outcome(first) == 0
    assert await outcome(call(batcher, 2, rows=4)) == 20
    assert runner.batches == [[0], [2]]
    await batcher.close(PATIENCE_S)


async def test_a_call_cancelled_in_the_turn_that_frees_the_runner_costs_no_run() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    first = call(batcher, 0)
    end = await runner.began()
    waiting = call(batcher, 1)
    await turn()
    runner.held = False
    end.set_result(None)
    waiting.cancel()
    assert await outcome(first) == 0
    assert await outcome(call(batcher, 2)) == 20
    assert runner.batches == [[0], [2]]
    await batcher.close(PATIENCE_S)


async def test_a_failing_run_fails_the_guilty_alone() -> None:
    runner = Runner(held=True)
    runner.poison = {2}
    batcher = Batcher(runner, limits())
    first = call(batcher, 0)
    end = await runner.began()
    tasks = [call(batcher, item) for item in (1, 2, 3)]
    await turn()
    runner.held = False
    end.set_result(None)
    outcomes = [await outcome(each) for each in (first, *tasks)]
    assert outcomes == [0, 10, "InferenceFailed", 30]
    assert runner.batches == [[0], [1, 2, 3], [1], [2], [3]]
    assert await batcher.submit(4) == 40, "the loop lives on"
    await batcher.close(PATIENCE_S)


async def test_a_call_that_left_is_not_repeated_after_a_failed_run() -> None:
    runner = Runner(held=True)
    runner.poison = {2}
    batcher = Batcher(runner, limits())
    call(batcher, 0)
    end = await runner.began()
    gone, guilty = call(batcher, 1), call(batcher, 2)
    await turn()
    end.set_result(None)
    end = await runner.began()
    gone.cancel()
    await turn()
    runner.held = False
    end.set_result(None)
    assert await outcome(guilty) == "InferenceFailed"
    assert runner.batches == [[0], [1, 2], [2]]
    await batcher.close(PATIENCE_S)


async def test_a_run_that_answers_too_few_fails_and_the_loop_lives_on() -> None:
    async def short(items: Sequence[int]) -> Sequence[int]:
        return list(items)[1:]

    batcher: Batcher[int, int] = Batcher(short, limits())
    assert await outcome(call(batcher, 1)) == "ValueError"
    assert await outcome(call(batcher, 1)) == "ValueError"
    await batcher.close(PATIENCE_S)


async def test_a_full_queue_refuses_at_once_by_rows() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits(max_queue_size=5))
    first = call(batcher, 0)
    end = await runner.began()
    waiting = call(batcher, 1, rows=4)
    await turn()
    with pytest.raises(QueueFull):
        await batcher.submit(2, rows=2)
    fits = call(batcher, 3)
    runner.held = False
    end.set_result(None)
    assert [await outcome(each) for each in (first, waiting, fits)] == [0, 10, 30]
    await batcher.close(PATIENCE_S)


async def test_more_rows_than_a_run_takes_are_refused_before_the_queue() -> None:
    runner = Runner()
    batcher = Batcher(runner, limits())
    with pytest.raises(BatchTooLarge, match="5 rows, a run takes 4"):
        await batcher.submit(1, rows=5)
    assert batcher.waiting_rows == 0
    await batcher.close(PATIENCE_S)
    assert runner.batches == []


async def test_an_item_without_rows_still_takes_a_place() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits(max_queue_size=1))
    call(batcher, 0, rows=0)
    end = await runner.began()
    waiting = call(batcher, 1, rows=0)
    await turn()
    with pytest.raises(QueueFull):
        await batcher.submit(2, rows=0)
    runner.held = False
    end.set_result(None)
    assert await outcome(waiting) == 10
    await batcher.close(PATIENCE_S)


async def test_expired_work_is_dropped_before_it_costs_a_run() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    first = call(batcher, 0)
    end = await runner.began()
    now = asyncio.get_running_loop().time()
    late = call(batcher, 1, deadline=now)
    assert await outcome(late) == "DeadlineExceeded"
    runner.held = False
    end.set_result(None)
    assert await outcome(first) == 0
    await batcher.close(PATIENCE_S)
    assert runner.batches == [[0]]


async def test_a_deadline_that_passed_before_the_batch_was_taken_costs_no_run() -> None:
    runner = Runner()
    batcher = Batcher(runner, limits())
    with pytest.raises(DeadlineExceeded):
        await batcher.submit(1, deadline=-math.inf)
    await batcher.close(PATIENCE_S)
    assert runner.batches == []


async def test_a_deadline_during_the_run_answers_the_caller_and_not_its_mates() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    call(batcher, 0)
    end = await runner.began()
    # Due in the near future, so that it passes while the run is held.
    due = asyncio.get_running_loop().time() + 0.02
    late, mate = call(batcher, 1, deadline=due), call(batcher, 2)
    await turn()
    end.set_result(None)
    end = await runner.began()
    assert await outcome(late) == "DeadlineExceeded"
    end.set_result(None)
    assert await outcome(mate) == 20
    await batcher.close(PATIENCE_S)


async def test_a_delay_lets_a_batch_fill_and_a_full_one_goes_at_once() -> None:
    runner = Runner()
    batcher = Batcher(runner, limits(max_queue_delay_s=3600))
    tasks = [call(batcher, item) for item in (1, 2)]
    await turn()
    assert runner.batches == []
    tasks += [call(batcher, item) for item in (3, 4)]
    assert [await outcome(each) for each in tasks] == [10, 20, 30, 40]
    assert runner.batches == [[1, 2, 3, 4]]
    await batcher.close(PATIENCE_S)


async def test_a_delay_ends_with_a_batch_that_is_not_full() -> None:
    runner = Runner()
    batcher = Batcher(runner, limits(max_queue_delay_s=0.01))
    assert await outcome(call(batcher, 1)) == 10
    await batcher.close(PATIENCE_S)


async def test_a_call_cancelled_during_the_delay_leaves_nothing_behind() -> None:
    runner = Runner()
    batcher = Batcher(runner, limits(max_queue_delay_s=0.01))
    gone = call(batcher, 1)
    await turn()
    gone.cancel()
    assert await outcome(call(batcher, 2)) == 20
    await batcher.close(PATIENCE_S)
    assert runner.batches == [[2]]


async def test_several_runners_work_at_once() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits(runners=2))
    first = call(batcher, 1)
    end_first = await runner.began()
    second = call(batcher, 2)
    end_second = await runner.began()
    end_second.set_result(None)
    assert await outcome(second) == 20
    end_first.set_result(None)
    assert await outcome(first) == 10
    await batcher.close(PATIENCE_S)


async def test_close_drains_what_was_admitted_and_then_refuses() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    tasks = [call(batcher, 0)]
    end = await runner.began()
    tasks.append(call(batcher, 1))
    await turn()
    closing = asyncio.ensure_future(batcher.close(PATIENCE_S))
    await turn()
    with pytest.raises(ShuttingDown):
        await batcher.submit(2)
    runner.held = False
    end.set_result(None)
    assert [await outcome(each) for each in tasks] == [0, 10]
    assert await closing is True
    with pytest.raises(ShuttingDown):
        await batcher.submit(3)


async def test_close_during_a_delay_does_not_wait_for_it() -> None:
    runner = Runner()
    batcher = Batcher(runner, limits(max_queue_delay_s=3600))
    task = call(batcher, 1)
    await turn()
    assert await batcher.close(PATIENCE_S) is True
    assert await outcome(task) == 10


async def test_what_is_not_answered_in_the_grace_time_fails_and_does_not_hang() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    running = call(batcher, 0)
    await runner.began()
    waiting = call(batcher, 1)
    await turn()
    assert await batcher.close(0) is False
    assert [await outcome(each) for each in (running, waiting)] == ["ShuttingDown"] * 2


async def test_it_tells_the_rows_of_each_batch_and_how_long_each_call_waited() -> None:
    told: list[tuple[int, int]] = []

    def on_batch(rows: int, waits: Sequence[float]) -> None:
        assert all(seconds >= 0 for seconds in waits)
        told.append((rows, len(waits)))

    runner = Runner()
    batcher = Batcher(runner, limits(), on_batch)
    tasks = [call(batcher, item, rows=2) for item in (1, 2)]
    assert [await outcome(each) for each in tasks] == [10, 20]
    await batcher.close(PATIENCE_S)
    assert told == [(4, 2)]


async def test_calls_cancelled_at_many_points_leave_nothing_in_the_queue() -> None:
    runner = Runner()
    batcher = Batcher(runner, limits())
    tasks = [call(batcher, item) for item in range(100)]
    for step, task in enumerate(tasks):
        if step % 3 == 0:
            task.cancel()
        if step % 7 == 0:
            await asyncio.sleep(0)
    done = await asyncio.gather(*tasks, return_exceptions=True)
    answered = [each for each in done if isinstance(each, int)]
    assert len(answered) + sum(isinstance(each, asyncio.CancelledError) for each in done) == 100
    assert len(answered) >= 66
    assert batcher.waiting_rows == 0
    await batcher.close(PATIENCE_S)
