"""Refusals are a line a second for each kind, and none of them is lost."""

from collections.abc import Callable

import structlog

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
