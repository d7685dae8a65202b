"""A key asks as often as it may, whichever workers it asks."""

import pytest

from service.access.keys import Key, digest
from service.access.rates import Rates
from service.errors import RateLimited


class Clock:
    """Stands still until it is told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def key(name: str, rate: float | None = 10.0, burst: int = 3) -> Key:
    hashed = digest(name.encode()).hex()
    scopes = frozenset(["predict"])
    stated = {} if rate is None else {"requests_per_s": rate, "burst": burst}
    return Key.model_validate({"name": name, "sha256": hashed, "scopes": scopes} | stated)


def places(count: int) -> "memoryview[float]":
    return memoryview(bytearray(8 * count)).cast("d")


def admitted(rates: Rates, key: Key, times: int = 100) -> int:
    for i in range(times):
        try:
            rates.count(key)
        except RateLimited:
            return i
    return times


def test_a_burst_passes_and_then_as_many_as_time_has_paid_for() -> None:
    clock, a = Clock(), key("a")
    rates = Rates([a], places(8), clock)
    assert admitted(rates, a) == 3
    clock.now += 0.2001
    assert admitted(rates, a) == 2
    clock.now += 100
    assert admitted(rates, a) == 3


def test_two_workers_count_one_key_together_and_two_keys_apart() -> None:
    clock, a, b = Clock(), key("a"), key("b")
    paid = places(2)
    one, two = Rates([a, b], paid, clock), Rates([a, b], paid, clock)
    one.count(a)
    two.count(a)
    assert admitted(one, a) == 1
    assert admitted(two, a) == 0
    assert admitted(two, b) == 3


def test_who_asks_too_often_is_told_when_to_ask_again() -> None:
    a = key("a", rate=0.1, burst=1)
    rates = Rates([a], places(1), Clock())
    rates.count(a)
    with pytest.raises(RateLimited) as caught:
        rates.count(a)
    assert caught.value.headers == {"Retry-After": "10"}


def test_a_key_without_a_rate_may_always_ask() -> None:
    a = key("a", rate=None)
    assert admitted(Rates([a], places(1), Clock()), a) == 100
