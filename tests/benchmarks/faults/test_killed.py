import pytest

from benchmarks.faults.killed import WINDOW_S, busiest, rate, recovered

END = 20.0
KILLED = 5.0
FULL = 10.0  # answers a second


def answers(*spans: tuple[float, float, float]) -> list[float]:
    """Moments at equal distances: from when, until when, how many a second."""
    return [
        start + (number + 0.5) / often
        for start, end, often in spans
        for number in range(round((end - start) * often))
    ]


def test_the_busiest_process_is_the_one_that_computed_most_meanwhile():
    assert busiest({1: 900, 2: 10, 3: 10}, {1: 905, 2: 80, 3: 50}) == 2
    assert busiest({1: 900}, {1: 905, 4: 20}) == 4  # it was started meanwhile


def test_the_rate_is_that_between_two_moments():
    when = answers((0, 10, 10))
    assert rate(when, 2, 6) == pytest.approx(10)
    assert rate(when, 20, 30) == 0


def test_full_capacity_is_told_from_the_half_that_is_left():
    back = recovered(answers((5, 9, FULL / 2), (9, END, FULL)), KILLED, END, FULL)
    # The window may begin while at most 15 % of it, of half the rate, are missing.
    assert back == pytest.approx(4 - 0.3 * WINDOW_S, abs=0.15)


def test_a_server_that_stays_at_a_half_never_recovers():
    assert recovered(answers((5, END, 0.6 * FULL)), KILLED, END, FULL) is None
    assert recovered([], KILLED, END, FULL) is None


def test_a_server_that_notices_nothing_is_back_at_once():
    assert recovered(answers((0, END, FULL)), KILLED, END, FULL) == 0
