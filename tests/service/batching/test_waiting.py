"""A batch is taken so that those who were let in for a short run do not get a long one."""

import math
import time
from collections.abc import Sequence

import pytest

from service.batching.waiting import Answered, Call, Waiting

ROW_S = 1000.0  # of each row of a run: the seconds of the test itself are none beside it


class Answer:
    """Where a call's answer goes; here it is an error, if anything."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def done(self) -> bool:
        return self.error is not None

    def set_result(self, _: Answered[str], /) -> None:
        raise AssertionError

    def set_exception(self, exception: Exception, /) -> None:
        self.error = exception


def lasts(rows: int) -> float:
    return ROW_S * rows


def waiting(*rows_left: float, rows: int = 1) -> Waiting[str, str]:
    """Calls that have so many rows' time left, with half a row's more."""
    calls: Waiting[str, str] = Waiting()
    now = time.monotonic()
    for index, left in enumerate(rows_left):
        deadline = now + (left + 0.5) * ROW_S
        calls.add(Call(str(index), rows, None, Answer(), now, deadline))
    return calls


def items(batch: Sequence[Call[str, str]]) -> str:
    return "".join(call.item for call in batch)


@pytest.mark.parametrize(
    ("rows_left", "together"),
    [
        ([8, 8, 8, 8], "0123"),
        ([2, 8, 8, 8], "01"),
        ([8, 8, 3, 8], "012"),  # the third of them has time for three
        ([8, 8, 2, 8], "0123"),  # in a run of three rows it is late, whoever is behind it
        ([math.inf] * 4, "0123"),
    ],
)
def test_a_batch_ends_where_one_more_would_make_one_in_it_late(
    rows_left: list[float], together: str
) -> None:
    calls = waiting(*rows_left)
    assert items(calls.take(8, lasts)) == together
    assert len(calls) == calls.rows == 4 - len(together)


def test_without_a_pace_it_is_as_large_as_it_may_be() -> None:
    assert items(waiting(1, 1, 1, 1).take(3)) == "012"
    assert items(waiting(1, 1, 1, 1).take(3, lambda _: 0.0)) == "012"


def test_rows_count_and_not_calls() -> None:
    calls = waiting(4, 8, 8, rows=2)
    assert items(calls.take(8, lasts)) == "01"
    assert items(calls.take(8, lasts)) == "2"
    assert calls.rows == 0


@pytest.mark.parametrize(
    ("rows_left", "together", "failed"),
    [
        ([0, 8, 8, 8], "123", "0"),
        ([0, 0, 1, 8], "2", "01"),  # and who comes behind would make the third late
        ([8, 0, 8, 0], "02", "1"),  # nobody looks at those behind the last that fits
        ([0, 0, 0, 0], "01", ""),  # nothing can be in time: the pace may be mistaken
    ],
)
def test_what_would_be_late_costs_no_run_while_anything_can_be_in_time(
    rows_left: list[float], together: str, failed: str
) -> None:
    calls = waiting(*rows_left)
    every = list(calls)
    assert items(calls.take(2 if len(together) == 2 else 8, lasts)) == together
    late = [call for call in every if isinstance(call.answer, Answer) and call.answer.error]
    assert items(late) == failed
    assert len(calls) == calls.rows == 4 - len(together) - len(failed)


def test_who_is_not_hopeless_but_behind_one_of_another_key_waits() -> None:
    calls = waiting(0, 8, 8)
    hopeless, first, other = calls
    first.key, other.key = "a", "b"
    assert items(calls.take(8, lasts)) == "1"
    assert hopeless not in calls
    assert list(calls) == [other]
