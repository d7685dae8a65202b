"""The batcher's promises on both roads; time is told by gates that a test opens, never by sleeping.

In place a run holds up the loop, so what "happens meanwhile" is done from inside the run.
"""

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.batching import runners
from service.batching.admission import Limits
from service.batching.batcher import Batcher
from service.batching.waiting import Answered
from service.errors import (
    BatchTooLarge,
    DeadlineExceeded,
    InferenceFailed,
    Overloaded,
    QueueFull,
    ShuttingDown,
)
from tests.service.fakes import PATIENCE_S, LeapingClock, learn_runs_of

pytestmark = pytest.mark.anyio


class Runner:
    """Answers item * 10; with ``held`` each run waits for ``end``."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[str] = set()
        self.poison: set[int] = set()
        self.held = held
        self.meanwhile: Callable[[], object] = lambda: None
        self._began = threading.Semaphore(0)
        self._end = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        self.threads.add(threading.current_thread().name)
        self.meanwhile()
        if self.held:
            self._began.release()
            assert self._end.acquire(timeout=PATIENCE_S)
        if self.poison & set(items):
            raise InferenceFailed("poison")
        return [item * 10 for item in items]

    async def began(self) -> None:
        """Wait for a run to begin."""
        assert await asyncio.to_thread(self._began.acquire, timeout=PATIENCE_S)

    def end(self, *, hold_the_next: bool = True) -> None:
        """Let the run that began end."""
        self.held = hold_the_next
        self._end.release()


@pytest.fixture(params=[True, False], ids=["in_place", "runners"])
def in_place(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def limits(**changes: float) -> Limits:
    return Limits(**({"max_batch_size": 4, "max_queue_size": 100} | changes))  # type: ignore[arg-type]  # ints by name


@asynccontextmanager
async def batching(
    run: Callable[[Sequence[int]], Sequence[int]], *, in_place: bool = False, **changes: Any
) -> AsyncIterator[Batcher[int, int]]:
    batcher = Batcher(run, limits(**changes), in_place=in_place)
    try:
        yield batcher
    finally:
        await batcher.close(PATIENCE_S)


def call(batcher: Batcher[int, int], item: int, **how: Any) -> asyncio.Task[int]:
    async def result() -> int:
        return (await batcher.submit(item, **how)).result

    return asyncio.ensure_future(result())


async def turn() -> None:
    """Let every task that can go on go on, up to a few steps."""
    for _ in range(5):
        await asyncio.sleep(0)


async def outcome(task: "asyncio.Task[int]") -> int | str:
    try:
        return await asyncio.wait_for(task, PATIENCE_S)
    except Exception as error:  # noqa: BLE001 -- whatever the call got
        return type(error).__name__


async def test_a_lone_call_on_an_idle_server_runs_at_once(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place) as batcher:
        before = time.monotonic()
        answered = await batcher.submit(7)
    assert answered.result == 70
    assert answered.queued_s >= 0
    rows, began, seconds = answered.ran
    assert rows == 1
    assert before + answered.queued_s <= began <= time.monotonic()
    assert seconds > 0
    assert runner.batches == [[7]]


async def test_in_place_means_on_the_loops_own_thread(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place) as batcher:
        await batcher.submit(7)
    assert (threading.current_thread().name in runner.threads) is in_place


async def test_what_arrives_in_one_turn_of_the_loop_is_one_batch(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place) as batcher:
        tasks = [call(batcher, item) for item in (1, 2, 3, 4, 5)]
        assert [await outcome(each) for each in tasks] == [10, 20, 30, 40, 50]
    assert runner.batches == [[1, 2, 3, 4], [5]]


async def test_what_waits_while_a_run_is_on_becomes_the_next_batch() -> None:
    runner = Runner(held=True)
    async with batching(runner) as batcher:
        first = call(batcher, 1)
        await runner.began()
        others = [call(batcher, item) for item in (2, 3, 4)]
        await turn()
        assert batcher.waiting_rows == 3
        runner.end(hold_the_next=False)
        assert [await outcome(each) for each in (first, *others)] == [10, 20, 30, 40]
    assert runner.batches == [[1], [2, 3, 4]]


async def test_a_full_batch_stands_ready_and_whoever_comes_later_makes_the_next() -> None:
    runner = Runner(held=True)
    async with batching(runner) as batcher:
        first = call(batcher, 1)
        await runner.began()
        others = [call(batcher, item) for item in (2, 3, 4, 5)]
        await turn()
        later = [call(batcher, item) for item in (6, 7)]
        await turn()
        assert (batcher.running_rows, batcher.waiting_rows) == (1, 6)
        others[1].cancel()
        await turn()
        assert batcher.waiting_rows == 5
        runner.end(hold_the_next=False)
        others.pop(1)
        assert [await outcome(each) for each in (first, *others, *later)] == [
            10, 20, 40, 50, 60, 70,
        ]  # fmt: skip
    assert runner.batches == [[1], [2, 4, 5], [6, 7]]


async def test_who_would_not_be_let_in_is_told_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learn_runs_of(10.0, monkeypatch)
    runner = Runner()
    async with batching(runner, max_batch_size=1) as batcher:
        soon = time.monotonic() + 9.0
        assert await outcome(call(batcher, 1)) == 10
        batcher.check_room(soon)
        runner.held = True
        first = call(batcher, 2)
        await runner.began()
        batcher.check_room(soon + 100)
        with pytest.raises(Overloaded):
            batcher.check_room(soon)
        runner.end(hold_the_next=False)
        assert await outcome(first) == 20
    with pytest.raises(ShuttingDown):
        batcher.check_room(soon + 100)


async def test_rows_and_not_calls_fill_a_batch(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place) as batcher:
        tasks = [call(batcher, item, rows=rows) for item, rows in ((1, 3), (2, 2), (3, 2), (4, 1))]
        assert [await outcome(each) for each in tasks] == [10, 20, 30, 40]
    assert runner.batches == [[1], [2, 3], [4]]


async def test_calls_of_different_keys_never_share_a_run(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place) as batcher:
        tasks = [call(batcher, item, key=key) for item, key in ((1, "a"), (2, "b"), (3, "a"))]
        assert [await outcome(each) for each in tasks] == [10, 20, 30]
    assert runner.batches == [[1, 3], [2]]


async def test_cancelling_a_call_in_a_running_batch_never_harms_its_mates() -> None:
    runner = Runner(held=True)
    async with batching(runner) as batcher:
        kept, dropped = call(batcher, 1), call(batcher, 2)
        await runner.began()
        dropped.cancel()
        await turn()
        runner.end()
        assert await outcome(kept) == 10
    assert dropped.cancelled()
    assert runner.batches == [[1, 2]]


async def test_a_call_cancelled_in_the_turn_of_its_run_in_place_never_harms_its_mates() -> None:
    runner = Runner()
    async with batching(runner, in_place=True) as batcher:
        kept, dropped = call(batcher, 1), call(batcher, 2)
        runner.meanwhile = dropped.cancel
        assert await outcome(kept) == 10
    assert dropped.cancelled()
    assert runner.batches == [[1, 2]]


async def test_a_call_cancelled_while_it_waits_costs_no_run_and_frees_its_place() -> None:
    runner = Runner(held=True)
    async with batching(runner, max_queue_size=4) as batcher:
        first = call(batcher, 0)
        await runner.began()
        waiting = call(batcher, 1, rows=4)
        await turn()
        waiting.cancel()
        await turn()
        assert batcher.waiting_rows == 0
        runner.end(hold_the_next=False)
        assert await outcome(first) == 0
        assert await outcome(call(batcher, 2, rows=4)) == 20
    assert runner.batches == [[0], [2]]


async def test_a_call_cancelled_before_its_turn_came_costs_no_run(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place) as batcher:
        gone, kept = call(batcher, 1), call(batcher, 2)
        await asyncio.sleep(0)  # both are admitted, and neither was looked at
        assert batcher.waiting_rows == 2
        gone.cancel()
        assert await outcome(kept) == 20
    assert gone.cancelled()
    assert runner.batches == [[2]]


async def test_a_failing_run_fails_the_guilty_alone(in_place: bool) -> None:
    runner = Runner()
    runner.poison = {2}
    async with batching(runner, in_place=in_place) as batcher:
        tasks = [call(batcher, item) for item in (1, 2, 3)]
        assert [await outcome(each) for each in tasks] == [10, "InferenceFailed", 30]
        assert (await batcher.submit(4)).result == 40, "the loop lives on"
    assert runner.batches == [[1, 2, 3], [1], [2], [3], [4]]


async def test_a_call_that_left_is_not_repeated_after_a_failed_run(in_place: bool) -> None:
    runner = Runner()
    runner.poison = {2}
    async with batching(runner, in_place=in_place) as batcher:
        loop = asyncio.get_running_loop()
        gone, guilty = call(batcher, 1), call(batcher, 2)
        left = threading.Event()

        def leave() -> None:
            gone.cancel()
            left.set()

        def during_the_first_run() -> None:
            runner.meanwhile = lambda: None
            if in_place:
                leave()
            else:
                loop.call_soon_threadsafe(leave)
            assert left.wait(PATIENCE_S)

        runner.meanwhile = during_the_first_run
        assert await outcome(guilty) == "InferenceFailed"
    assert runner.batches == [[1, 2], [2]]


async def test_a_run_that_answers_too_few_fails_and_the_loop_lives_on(in_place: bool) -> None:
    async with batching(lambda items: list(items)[1:], in_place=in_place) as batcher:
        assert await outcome(call(batcher, 1)) == "ValueError"
        assert await outcome(call(batcher, 1)) == "ValueError"


async def test_a_full_queue_refuses_at_once_by_rows(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place, max_queue_size=5) as batcher:
        waiting = call(batcher, 1, rows=4)
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await batcher.submit(2, rows=2)
        fits = call(batcher, 3)
        assert [await outcome(each) for each in (waiting, fits)] == [10, 30]
    assert runner.batches == [[1], [3]]


async def test_more_rows_than_a_run_takes_are_refused_before_the_queue(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place) as batcher:
        with pytest.raises(BatchTooLarge, match="5 rows, a run takes 4"):
            await batcher.submit(1, rows=5)
        assert batcher.waiting_rows == 0
    assert runner.batches == []


async def test_an_item_without_rows_still_takes_a_place(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place, max_queue_size=1) as batcher:
        waiting = call(batcher, 1, rows=0)
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await batcher.submit(2, rows=0)
        assert await outcome(waiting) == 10


async def test_expired_work_is_dropped_before_it_costs_a_run() -> None:
    runner = Runner(held=True)
    async with batching(runner) as batcher:
        first = call(batcher, 0)
        await runner.began()
        late = call(batcher, 1, deadline=asyncio.get_running_loop().time())
        assert await outcome(late) == "DeadlineExceeded"
        runner.end()
        assert await outcome(first) == 0
    assert runner.batches == [[0]]


async def test_each_call_expires_by_its_own_deadline_with_one_timer_for_all() -> None:
    runner = Runner(held=True)
    async with batching(runner) as batcher:
        first = call(batcher, 0)
        await runner.began()
        now = asyncio.get_running_loop().time()
        late = [call(batcher, 1, deadline=now + s) for s in (0.02, 0.001, 0.03, 0.01)]
        patient = call(batcher, 2, deadline=now + 3600)
        assert [await outcome(each) for each in late] == ["DeadlineExceeded"] * 4
        assert batcher.waiting_rows == 1
        runner.end(hold_the_next=False)
        assert [await outcome(each) for each in (first, patient)] == [0, 20]
    assert runner.batches == [[0], [2]]


async def test_a_deadline_that_passed_before_the_batch_was_taken_costs_no_run(
    in_place: bool,
) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place) as batcher:
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(1, deadline=-math.inf)
    assert runner.batches == []


async def test_a_deadline_that_passed_in_the_run_that_failed_costs_no_second_one() -> None:
    runner = Runner()
    runner.poison = {2}
    async with batching(runner, in_place=True) as batcher:
        due = asyncio.get_running_loop().time() + 0.01
        late, guilty = call(batcher, 1, deadline=due), call(batcher, 2)

        def until_due() -> None:
            runner.meanwhile = lambda: None
            while asyncio.get_running_loop().time() < due:
                pass

        runner.meanwhile = until_due
        assert await outcome(late) == "DeadlineExceeded"
        assert await outcome(guilty) == "InferenceFailed"
    assert runner.batches == [[1, 2], [2]]


async def test_a_deadline_during_the_run_answers_the_caller_and_not_its_mates() -> None:
    runner = Runner(held=True)
    async with batching(runner) as batcher:
        # Due in the near future, so that it passes while the run is held.
        due = asyncio.get_running_loop().time() + 0.02
        late, mate = call(batcher, 1, deadline=due), call(batcher, 2)
        await runner.began()
        assert await outcome(late) == "DeadlineExceeded"
        runner.end()
        assert await outcome(mate) == 20


async def test_a_delay_lets_a_batch_fill_and_a_full_one_goes_at_once(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place, max_queue_delay_s=3600) as batcher:
        tasks = [call(batcher, item) for item in (1, 2)]
        await turn()
        assert runner.batches == []
        tasks += [call(batcher, item) for item in (3, 4)]
        assert [await outcome(each) for each in tasks] == [10, 20, 30, 40]
    assert runner.batches == [[1, 2, 3, 4]]


async def test_a_call_is_not_run_at_once_where_a_batch_may_fill(in_place: bool) -> None:
    async with batching(Runner(), in_place=in_place, max_queue_delay_s=1.0) as batcher:
        assert not batcher.runs_at_once
    async with batching(Runner(), in_place=in_place) as batcher:
        assert batcher.runs_at_once is in_place


async def test_a_delay_ends_with_a_batch_that_is_not_full(in_place: bool) -> None:
    async with batching(Runner(), in_place=in_place, max_queue_delay_s=0.01) as batcher:
        assert await outcome(call(batcher, 1)) == 10


async def test_a_call_cancelled_during_the_delay_leaves_nothing_behind(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place, max_queue_delay_s=0.01) as batcher:
        gone = call(batcher, 1)
        await turn()
        gone.cancel()
        assert await outcome(call(batcher, 2)) == 20
    assert runner.batches == [[2]]


async def test_a_deadline_counts_during_the_delay(in_place: bool) -> None:
    runner = Runner()
    async with batching(runner, in_place=in_place, max_queue_delay_s=3600) as batcher:
        due = asyncio.get_running_loop().time() + 0.01
        assert await outcome(call(batcher, 1, deadline=due)) == "DeadlineExceeded"
    assert runner.batches == []


class Reply:
    """Takes an answer for a caller that does not wait, and then does what it is told."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.gone = False
        self.then = then
        self.answers: asyncio.Queue[int | str] = asyncio.Queue()

    def done(self) -> bool:
        return self.gone or not self.answers.empty()

    def set_result(self, answered: Answered[int]) -> None:
        self.answers.put_nowait(answered.result)
        self.then()

    def set_exception(self, error: Exception) -> None:
        self.answers.put_nowait(type(error).__name__)
        self.then()

    async def answer(self) -> int | str:
        return await asyncio.wait_for(self.answers.get(), PATIENCE_S)


async def test_a_call_that_nobody_waits_for_shares_a_run_with_those_that_are(
    in_place: bool,
) -> None:
    runner = Runner()
    runner.poison = {3}
    replies = [Reply() for _ in range(3)]
    async with batching(runner, in_place=in_place) as batcher:
        waited_for = call(batcher, 1)
        await asyncio.sleep(0)
        for item, reply in zip((2, 3), replies, strict=False):
            batcher.offer(item, reply)
        assert await replies[0].answer() == 20
        assert await replies[1].answer() == "InferenceFailed"
        assert await outcome(waited_for) == 10
    assert runner.batches[0] == [1, 2, 3]
    with pytest.raises(ShuttingDown):
        batcher.offer(4, replies[2])


async def test_a_call_whose_client_left_costs_no_run(in_place: bool) -> None:
    runner = Runner()
    gone, kept = Reply(), Reply()
    async with batching(runner, in_place=in_place) as batcher:
        batcher.offer(1, gone)
        batcher.offer(2, kept)
        gone.gone = True
        assert await kept.answer() == 20
    assert runner.batches == [[2]]


@pytest.mark.parametrize("deadline", [math.inf, -math.inf], ids=["answered", "late"])
async def test_an_answer_may_bring_the_next_call_at_once(in_place: bool, deadline: float) -> None:
    runner = Runner()
    second = Reply()
    async with batching(runner, in_place=in_place) as batcher:
        first = Reply(then=lambda: batcher.offer(2, second))
        batcher.offer(1, first, deadline=deadline)
        batcher.offer(3, Reply(), deadline=deadline)
        assert await first.answer() == (10 if deadline > 0 else "DeadlineExceeded")
        assert await second.answer() == 20
    assert runner.batches[-1] == [2]


async def test_several_runners_work_at_once() -> None:
    runner = Runner(held=True)
    async with batching(runner, runners=2) as batcher:
        first = call(batcher, 1)
        await runner.began()
        second = call(batcher, 2)
        await runner.began()
        assert batcher.waiting_rows == 0
        runner.end()
        runner.end()
        assert [await outcome(each) for each in (first, second)] == [10, 20]


async def test_the_loop_gets_turns_between_batches_in_place() -> None:
    turns: list[int] = []
    runner = Runner()

    async def count() -> None:
        while len(runner.batches) < 8:
            turns.append(len(runner.batches))
            await asyncio.sleep(0)

    def busy() -> None:  # longer than the batcher keeps the loop to itself
        until = asyncio.get_running_loop().time() + 2e-3
        while asyncio.get_running_loop().time() < until:
            pass

    runner.meanwhile = busy
    async with batching(runner, in_place=True, max_batch_size=1) as batcher:
        tasks = [call(batcher, item) for item in range(8)]
        await asyncio.gather(count(), *tasks)
    assert set(turns) >= set(range(8))


async def test_close_drains_what_was_admitted_and_then_refuses() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    tasks = [call(batcher, 0)]
    await runner.began()
    tasks.append(call(batcher, 1))
    await turn()
    closing = asyncio.ensure_future(batcher.close(PATIENCE_S))
    await turn()
    with pytest.raises(ShuttingDown):
        await batcher.submit(2)
    runner.end(hold_the_next=False)
    assert [await outcome(each) for each in tasks] == [0, 10]
    assert await closing is True


async def test_close_in_the_turn_of_a_call_lets_it_finish(in_place: bool) -> None:
    batcher = Batcher(Runner(), limits(), in_place=in_place)
    task = call(batcher, 1)
    await asyncio.sleep(0)
    assert await batcher.close(PATIENCE_S) is True
    assert await outcome(task) == 10
    with pytest.raises(ShuttingDown):
        await batcher.submit(2)
    assert await batcher.close(0) is True, "once more does no harm"


async def test_close_during_a_delay_does_not_wait_for_it(in_place: bool) -> None:
    batcher = Batcher(Runner(), limits(max_queue_delay_s=3600), in_place=in_place)
    task = call(batcher, 1)
    await turn()
    assert await batcher.close(PATIENCE_S) is True
    assert await outcome(task) == 10


async def test_close_does_not_wait_for_calls_that_were_given_up() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    running = call(batcher, 0)
    await runner.began()
    waiting = call(batcher, 1)
    await turn()
    closing = asyncio.ensure_future(batcher.close(PATIENCE_S))
    waiting.cancel()
    await turn()
    assert not closing.done()
    runner.end()
    assert await closing is True
    assert await outcome(running) == 0
    assert runner.batches == [[0]]


async def test_what_is_not_answered_in_the_grace_time_fails_and_does_not_hang() -> None:
    runner = Runner(held=True)
    batcher = Batcher(runner, limits())
    running = call(batcher, 0)
    await runner.began()
    waiting = call(batcher, 1)
    await turn()
    assert await batcher.close(0) is False
    assert [await outcome(each) for each in (running, waiting)] == ["ShuttingDown"] * 2
    runner.end()


def test_a_run_that_outlasts_the_loop_ends_quietly() -> None:
    runner = Runner(held=True)

    async def leave_it_running() -> asyncio.Task[int]:
        batcher = Batcher(runner, limits())
        task = call(batcher, 0)
        await runner.began()
        await batcher.close(0)
        await asyncio.wait([task])
        return task

    task = asyncio.run(leave_it_running())
    assert isinstance(task.exception(), ShuttingDown)
    threads = [each for each in threading.enumerate() if each.name in runner.threads]
    runner.end()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


async def test_it_tells_the_rows_and_seconds_of_each_run(in_place: bool) -> None:
    told: list[tuple[int, float]] = []
    runner = Runner()
    runner.poison = {3}
    batcher = Batcher(
        runner,
        limits(),
        in_place=in_place,
        on_run=lambda rows, seconds: told.append((rows, seconds)),
    )
    tasks = [call(batcher, item, rows=2) for item in (1, 2)]
    assert [await outcome(each) for each in tasks] == [10, 20]
    await outcome(call(batcher, 3))
    await batcher.close(PATIENCE_S)
    assert [rows for rows, _ in told] == [4, 1]
    assert all(seconds > 0 for _, seconds in told)


async def test_calls_cancelled_at_many_points_leave_nothing_in_the_queue(in_place: bool) -> None:
    async with batching(Runner(), in_place=in_place) as batcher:
        tasks = [call(batcher, item) for item in range(100)]
        for step, task in enumerate(tasks):
            if step % 3 == 0:
                task.cancel()
            if step % 7 == 0:
                await asyncio.sleep(0)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        answered = [each for each in done if isinstance(each, int)]
        gone = [each for each in done if isinstance(each, asyncio.CancelledError)]
        assert len(answered) + len(gone) == 100
        assert len(answered) >= 66
        assert batcher.waiting_rows == 0


async def test_what_would_be_late_behind_others_is_refused_and_an_idle_server_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learn_runs_of(10.0, monkeypatch)
    runner = Runner()
    async with batching(runner, max_batch_size=1) as batcher:
        assert await outcome(call(batcher, 1)) == 10
        runner.held = True
        soon = time.monotonic() + 9.0
        first = call(batcher, 2, deadline=soon)
        await runner.began()
        assert await outcome(call(batcher, 3, deadline=soon)) == "Overloaded"
        patient = call(batcher, 4, deadline=soon + 100)
        await turn()
        assert batcher.waiting_rows == 1
        runner.end(hold_the_next=False)
        assert [await outcome(each) for each in (first, patient)] == [20, 40]
    assert runner.batches == [[1], [2], [4]]


async def test_the_pace_is_that_of_the_next_run_and_not_of_the_one_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its own clock a run takes ten seconds, and the next one has waited for it for none."""
    monkeypatch.setattr(runners, "time", LeapingClock(10.0))
    runner = Runner()
    async with batching(runner, max_batch_size=1) as batcher:
        assert await outcome(call(batcher, 1)) == 10
        runner.held = True
        soon = time.monotonic() + 9.0
        others = [call(batcher, item, deadline=soon) for item in (2, 3)]
        await runner.began()
        runner.end(hold_the_next=False)
        assert [await outcome(each) for each in others] == [20, 30]


async def test_who_comes_behind_makes_no_run_longer_than_those_before_can_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Runs of one row and of three tell that a row takes ten seconds."""
    runner = Runner()
    async with batching(runner) as batcher:
        for rows in (3, 1):
            learn_runs_of(10.0 * rows, monkeypatch)
            assert await outcome(call(batcher, 1, rows=rows)) == 10
        runner.held = True
        first = call(batcher, 2)
        await runner.began()
        now = time.monotonic()
        # A run of four rows may well take 40 s, and some more: too much for the first of them.
        lefts = {3: 45.0, 4: 100.0, 5: 200.0, 6: 300.0}
        others = [call(batcher, item, deadline=now + left) for item, left in lefts.items()]
        await turn()
        runner.end(hold_the_next=False)
        assert [await outcome(each) for each in (first, *others)] == [20, 30, 40, 50, 60]
    assert runner.batches == [[1], [1], [2], [3, 4, 5], [6]]


async def test_a_run_in_place_that_takes_long_is_the_last_one_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = {threading.current_thread().name}
    runner = Runner()
    async with batching(runner, in_place=True) as batcher:
        assert await outcome(call(batcher, 1)) == 10
        assert batcher.runs_at_once
        with monkeypatch.context() as slow:
            slow.setattr(runners, "time", LeapingClock(10.0))
            assert [await outcome(each) for each in (call(batcher, 2), call(batcher, 3))] == [
                20,
                30,
            ]
        assert runner.threads == own
        assert not batcher.in_place
        assert not batcher.runs_at_once, "from now on a client may go away before its run"
        runner.threads.clear()
        assert await outcome(call(batcher, 4)) == 40
        assert runner.threads
        assert not runner.threads & own
