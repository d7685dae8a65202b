"""The pace is the line that runs lie on, and what it does not know keeps nobody out."""

import pytest

from service.batching.pace import Pace

# Sums of a few dozen floating-point numbers.
ROUNDING = 1e-9


def learned(*runs: tuple[int, float]) -> Pace:
    pace = Pace()
    for rows, seconds in runs:
        pace.learn(rows, seconds)
    return pace


def test_nothing_is_known_before_the_first_run() -> None:
    assert Pace().run(8) == 0
    assert Pace().answer(1000, 8, 1, 1) == 0


def test_runs_of_one_size_tell_no_slope() -> None:
    pace = learned(*[(1, 0.25)] * 10)
    assert pace.run(1) == pytest.approx(0.25, rel=ROUNDING)
    assert pace.run(8) == pytest.approx(0.25, rel=ROUNDING)


@pytest.mark.parametrize("rows", [1, 4, 8, 32])
def test_runs_on_a_line_are_foretold(rows: int) -> None:
    pace = learned(*[(n, 0.01 + 0.002 * n) for n in (1, 8, 3, 5, 1, 8) * 5])
    assert pace.run(rows) == pytest.approx(0.01 + 0.002 * rows, rel=ROUNDING)


def test_larger_runs_never_take_less_than_nothing_or_less_than_small_ones() -> None:
    falling = learned((1, 0.3), (8, 0.1), (1, 0.3), (8, 0.1))
    assert falling.run(1) == falling.run(8) > 0
    steep = learned((7, 0.01), (8, 0.5), (7, 0.01), (8, 0.5))
    assert steep.run(1) >= 0


def test_what_was_long_ago_is_forgotten() -> None:
    pace = learned((4, 60.0), *[(4, 0.01)] * 200)
    assert pace.run(4) == pytest.approx(0.01, rel=0.25)  # 0.95 to the 200th of 60 s is 2 ms


def test_the_wait_is_the_full_runs_before_and_the_own() -> None:
    pace = learned(*[(n, 0.1 * n) for n in (1, 2, 4) * 5])
    rel = ROUNDING
    assert pace.answer(4, 4, 1, 0) == pytest.approx(0.4, rel=rel)
    assert pace.answer(9, 4, 1, 0) == pytest.approx(0.4 + 0.4 + 0.1, rel=rel)
    assert pace.answer(8, 4, 2, 1) == pytest.approx(0.2 + 0.4, rel=rel)  # a runner is free
    mean = pace.run(0) + (pace.run(1) - pace.run(0)) * 7 / 3
    assert pace.answer(4, 4, 1, 1) == pytest.approx(
        0.4 + mean / 2, rel=0.05
    )  # recent runs weigh more
