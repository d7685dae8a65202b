"""Which plans are tried."""

import pytest

from service.tuning.candidates import candidates


def pairs(cpus: int, **choices: list[int]) -> list[tuple[int, int]]:
    plans = candidates([("1", "fp32")], cpus, max_batch_sizes=[8], **choices)
    return [(plan.workers, plan.threads) for plan in plans]


@pytest.mark.parametrize(
    ("cpus", "expected"),
    [
        (1, {(1, 1)}),
        (2, {(1, 1), (1, 2), (2, 1)}),
        (3, {(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)}),
        (4, {(1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (4, 1)}),
    ],
)
def test_no_plan_has_more_threads_than_there_are_processors(
    cpus: int, expected: set[tuple[int, int]]
) -> None:
    found = pairs(cpus)
    assert set(found) == expected
    assert len(found) == len(expected)


def test_a_count_of_processors_that_is_no_power_of_two_is_tried_too() -> None:
    assert {(6, 1), (1, 6), (4, 1), (2, 2)} < set(pairs(6))
    assert (8, 1) not in pairs(6)


def test_what_is_stated_is_tried_even_beyond_the_processors() -> None:
    assert pairs(2, workers=[4]) == [(4, 1)]
    assert set(pairs(2, threads=[1, 4])) == {(1, 1), (2, 1), (1, 4)}
    assert pairs(2, workers=[3], threads=[3]) == [(3, 3)]


def test_plans_that_use_most_of_the_processors_come_first() -> None:
    used = [workers * threads for workers, threads in pairs(8)]
    assert used == sorted(used, reverse=True)


def test_every_version_and_batch_size_is_tried_once() -> None:
    versions = [("1", "fp32"), ("2", "int8")]
    plans = candidates(versions, 1, max_batch_sizes=[1, 8, 8])
    assert [(p.version, p.precision, p.max_batch_size) for p in plans] == [
        ("1", "fp32", 8),
        ("2", "int8", 8),
        ("1", "fp32", 1),
        ("2", "int8", 1),
    ]
