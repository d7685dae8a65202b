"""Successive halving: who is measured how often, and when it ends."""

from collections import Counter
from collections.abc import Callable

import pytest

from service.tuning.candidates import Candidate, Measurement, NotMeasured
from service.tuning.race import Limits, Record, race
from tests.service.tuning.records import candidate, measurement

PLANS = [candidate(workers) for workers in range(1, 13)]
AMPLE = Limits(seconds=3, rounds=3, budget_s=1e6)


class Course:
    """Measures by a rule on a clock of its own."""

    def __init__(self, rule: Callable[[Candidate], Measurement], overhead_s: float = 0) -> None:
        self.now = 0.0
        self.measured: list[tuple[int, float]] = []
        self._rule = rule
        self._overhead_s = overhead_s

    def measure(self, plan: Candidate, seconds: float) -> Measurement:
        self.measured.append((plan.workers, seconds))
        self.now += seconds + self._overhead_s
        return self._rule(plan)

    def run(self, limits: Limits, plans: list[Candidate] = PLANS) -> list[Record]:
        return race(plans, self.measure, limits, clock=lambda: self.now)


def more_workers_are_faster(plan: Candidate) -> Measurement:
    return measurement(throughput=100.0 * plan.workers)


def test_all_are_measured_briefly_and_the_best_half_longer() -> None:
    course = Course(more_workers_are_faster)
    records = course.run(AMPLE)
    assert course.measured[:12] == [(plan.workers, 1.0) for plan in PLANS]
    full = Counter(workers for workers, seconds in course.measured if seconds == 3)
    # Six of twelve are measured again, three of six for three rounds.
    assert full == {7: 1, 8: 1, 9: 1, 10: 4, 11: 4, 12: 4}
    assert [r.candidate.workers for r in records if r.standing] == [10, 11, 12]


def test_rounds_are_interleaved_and_turn_around() -> None:
    course = Course(more_workers_are_faster)
    course.run(AMPLE)
    assert [workers for workers, _ in course.measured[-9:]] == [12, 11, 10, 10, 11, 12, 12, 11, 10]


def test_the_median_of_the_full_rounds_is_what_counts() -> None:
    # The first four are the short ones'.
    noise = iter([1000.0] * 4 + [50.0] * 3 + [90.0] * 3 + [10.0] * 3)
    records = Course(lambda _: measurement(throughput=next(noise))).run(AMPLE, PLANS[:4])
    assert [record.result.throughput for record in records] == [50, 50, 50, 1000]
    assert [len(record.full) for record in records] == [3, 3, 3, 0]


def test_as_few_plans_as_come_to_the_end_are_measured_in_full_at_once() -> None:
    course = Course(more_workers_are_faster)
    course.run(AMPLE, PLANS[:3])
    assert course.measured == [(workers, 3.0) for workers in (1, 2, 3, 3, 2, 1, 1, 2, 3)]


def test_a_plan_that_fails_is_measured_no_more_and_the_others_are() -> None:
    def rule(plan: Candidate) -> Measurement:
        if plan.workers == 2:
            raise NotMeasured("it answered wrongly")
        return more_workers_are_faster(plan)

    course = Course(rule)
    records = course.run(AMPLE, PLANS[:3])
    assert [record.failure for record in records] == [None, "it answered wrongly", None]
    assert [record.standing for record in records] == [True, False, True]
    assert Counter(workers for workers, _ in course.measured) == {1: 3, 2: 1, 3: 3}


def test_a_plan_that_fails_in_the_last_round_does_not_stand() -> None:
    calls = Counter[int]()

    def rule(plan: Candidate) -> Measurement:
        calls[plan.workers] += 1
        if calls[1] == 3:
            raise NotMeasured("a connection was lost")
        return measurement()

    (record,) = Course(rule).run(AMPLE, PLANS[:1])
    assert record.failure == "a connection was lost"
    assert not record.standing


@pytest.mark.parametrize("budget_s", [1, 10, 30, 60, 100])
def test_nothing_is_begun_that_would_go_on_beyond_the_budget(budget_s: float) -> None:
    course = Course(more_workers_are_faster, overhead_s=1)
    records = course.run(Limits(seconds=3, rounds=3, budget_s=budget_s))
    # The overhead of the first start is not known before it.
    assert course.now <= budget_s + 1
    assert any(record.standing for record in records) == bool(course.measured)


def test_half_of_a_short_budget_is_left_for_the_last_few() -> None:
    course = Course(more_workers_are_faster)
    records = course.run(Limits(seconds=3, rounds=1, budget_s=20))
    assert [bool(record.rounds) for record in records] == [True] * 10 + [False] * 2
    # Of the five that come on, one is measured in half of what is left; then two of the last.
    assert course.measured[10:] == [(10, 3.0), (10, 3.0), (9, 3.0)]


def test_within_a_bound_throughput_counts_and_beyond_it_latency() -> None:
    def rule(plan: Candidate) -> Measurement:
        return measurement(throughput=100.0 * plan.workers, p99_ms=float(plan.workers))

    records = Course(rule).run(Limits(3, 3, budget_s=1e6, p99_ms=4.5))
    # 1 is not among the fastest three within the bound; it is the safest.
    assert [r.candidate.workers for r in records if r.standing] == [1, 3, 4]
    nobody = Course(rule).run(Limits(3, 3, budget_s=1e6, p99_ms=0.5))
    assert [r.candidate.workers for r in nobody if r.standing] == [1, 2, 3]


def test_memory_that_the_system_does_not_say_stays_unknown() -> None:
    (record,) = Course(lambda _: measurement(memory_mb=None)).run(AMPLE, PLANS[:1])
    assert record.result.memory_mb is None
