"""Turns of several works against each other, so that what the machine does meets all of them."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

WARM_UP_ROUNDS = 3

Measured = TypeVar("Measured")


def measured(works: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, list[Measured]]:
    """What every work says that it took in every round, in an order drawn anew for each.

    What runs behind itself finds the cache warm: in a fixed order that is always the same one.
    """
    order = np.random.default_rng(0)
    times: dict[str, list[Measured]] = {name: [] for name in works}
    for turn in range(WARM_UP_ROUNDS + rounds):
        for name in order.permutation(list(works)).tolist():
            taken = works[name]()
            if turn >= WARM_UP_ROUNDS:
                times[name].append(taken)
    return times


def ratio(taken: Sequence[float], first: Sequence[float]) -> float:
    """The median over the rounds of how much longer one took than the other in the same round."""
    return statistics.median(a / b for a, b in zip(taken, first, strict=True))
