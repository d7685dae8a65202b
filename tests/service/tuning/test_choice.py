"""Which plan is the best under the bound, and why."""

from service.tuning.choice import choose
from tests.service.tuning.records import candidate, measurement, record

SLOW = record(candidate(1), measurement(throughput=500, p99_ms=3, memory_mb=70))
FAST = record(candidate(2), measurement(throughput=1000, p99_ms=9, memory_mb=140))


def test_without_a_bound_the_highest_throughput_is_the_best() -> None:
    choice = choose([SLOW, FAST])
    assert choice.best is FAST
    assert choice.reason == (
        "Best: workers 2, threads 1, max_batch_size 8, version 1 (fp32): the highest throughput."
    )


def test_a_faster_plan_beyond_the_bound_is_not_taken() -> None:
    choice = choose([SLOW, FAST], p99_ms=5)
    assert choice.best is SLOW
    assert choice.reason.endswith("the highest throughput with p99 within 5 ms.")


def test_a_p99_that_is_the_bound_is_within_it() -> None:
    assert choose([FAST], p99_ms=9).best is FAST
    assert choose([FAST], p99_ms=8.99).best is None


def test_if_none_is_within_the_bound_the_closest_is_named() -> None:
    choice = choose([FAST, SLOW], p99_ms=2)
    assert choice.best is None
    assert choice.reason == (
        "No plan keeps p99 within 2 ms. The closest, with 3.00 ms:"
        " workers 1, threads 1, max_batch_size 8, version 1 (fp32)."
    )


def test_of_plans_as_fast_but_for_noise_the_one_with_less_memory_is_the_best() -> None:
    lean = record(candidate(1), measurement(throughput=975, memory_mb=70))
    choice = choose([FAST, lean])
    assert choice.best is lean
    assert choice.reason.endswith("2.5% below the highest throughput, which needs more memory.")


def test_more_than_noise_is_not_given_up_for_memory() -> None:
    lean = record(candidate(1), measurement(throughput=965, memory_mb=70))
    assert choose([FAST, lean]).best is FAST


def test_a_little_memory_is_no_reason() -> None:
    lean = record(candidate(1), measurement(throughput=990, memory_mb=136))
    assert choose([lean, FAST]).best is FAST


def test_where_the_system_does_not_say_the_memory_the_fastest_is_the_best() -> None:
    one = record(candidate(1), measurement(throughput=990, memory_mb=None))
    two = record(candidate(2), measurement(throughput=1000, memory_mb=None))
    assert choose([one, two]).best is two


def test_who_was_put_out_early_is_not_taken_for_one_lucky_short_round() -> None:
    lucky = record(candidate(4), measurement(throughput=9000), standing=False)
    assert choose([lucky, SLOW]).best is SLOW


def test_if_nothing_could_be_measured_it_says_so() -> None:
    assert choose([record(standing=False)]).reason == "No plan could be measured."
