"""The header in both of its forms, and in none."""

import time

import pytest

from foldserve_client.retry_after import retry_after_s

DUE = "Sun, 06 Nov 1994 08:49:37 GMT"
DUE_S = 784_111_777.0  # of this date, the example of RFC 9110


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        (DUE, 37.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 37.0),  # the two obsolete forms, which are read, too
        ("Sun Nov  6 08:49:37 1994", 37.0),
        ("Sun, 06 Nov 1994 08:48:00 GMT", 0.0),  # over
    ],
)
def test_seconds_and_dates_are_read(value: str, seconds: float) -> None:
    assert retry_after_s({"retry-after": value}, now=DUE_S - 37) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "soon", "-1", "1.5", "1e3", "٣", "9" * 9, "Sun, 99 Nov 1994 08:49:37 GMT", "Nov 1994"],
)
def test_what_is_neither_asks_for_nothing(value: str) -> None:
    assert retry_after_s({"retry-after": value}, now=DUE_S) is None


def test_an_answer_without_the_header_asks_for_nothing() -> None:
    assert retry_after_s({}) is None


def test_the_answers_own_date_counts_and_no_clock() -> None:
    headers = {"retry-after": DUE, "date": "Sun, 06 Nov 1994 08:49:30 GMT"}
    assert retry_after_s(headers, now=0.0) == 7.0
    assert retry_after_s({"retry-after": DUE, "date": "yesterday"}, now=DUE_S - 5) == 5.0


def test_without_one_the_clock_counts() -> None:
    due = time.time() + 1000
    text = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(due))
    found = retry_after_s({"retry-after": text})
    assert found is not None
    assert 900 < found <= 1000  # less the time since, of which a second was cut off above
