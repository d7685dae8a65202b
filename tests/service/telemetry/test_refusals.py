"""Refusals are a line a second for each kind, and none of them is lost."""

from collections.abc import Callable

import pytest
import structlog

from service.errors import (
    DeadlineExceeded,
    OutOfMemory,
    Overloaded,
    QueueFull,
    RateLimited,
    ServiceError,
    TooManyConnections,
    Unauthorized,
)
from service.telemetry.metrics import Metrics
from service.telemetry.observation import Observer
from service.telemetry.refusals import Refusals


class Seconds:
    """An event loop's timers, which end when a test says so."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        assert seconds == 1
        self._waiting.append(function)

    def pass_one(self) -> None:
        due, self._waiting = self._waiting, []
        for function in due:
            function()


def test_the_first_is_told_at_once_and_the_others_by_their_number() -> None:
    seconds = Seconds()
    refusals = Refusals(seconds.later)
    with structlog.testing.capture_logs() as lines:
        for number in range(1000):
            refusals.add("unauthorized", f"id-{number}")
        refusals.add("rate_limited", "other")
        seconds.pass_one()
        refusals.add("unauthorized", "later")
        seconds.pass_one()
        seconds.pass_one()
        refusals.add("unauthorized", "last")
    told = [(line["code"], line["count"], line.get("request_id")) for line in lines]
    assert told == [
        ("unauthorized", 1, "id-0"),
        ("rate_limited", 1, "other"),
        ("unauthorized", 999, None),
        ("unauthorized", 1, None),
        ("unauthorized", 1, "last"),
    ]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (Unauthorized, 1),
        (RateLimited, 1),
        (Overloaded, 1),
        (QueueFull, 1),
        (TooManyConnections, 1),
        (DeadlineExceeded, 20),
        (OutOfMemory, 20),
    ],
)
async def test_what_is_refused_unread_is_counted_in_the_log_and_the_rest_are_lines(
    kind: type[ServiceError], lines: int
) -> None:
    observer = Observer(Metrics(), "errors")
    with structlog.testing.capture_logs() as told:
        for _ in range(20):
            observer.record("POST", "/", "unmatched", kind.status, "id", 0.1, kind("why"))
    assert [line["code"] for line in told] == [kind.code] * lines
