"""How often a key may ask, counted by all workers in memory that they share.

For each key there is one number, the moment at which all that it asked is paid for (the
generic cell rate algorithm). It is read and written without a lock: of two workers that do so
in the same microsecond one is not counted, which lets a request too many pass, never too few.
"""

import time
from collections.abc import Callable, Sequence

from service.access.keys import Key
from service.errors import RateLimited

# What doubles lose of a clock that has gone for years.
_ROUNDING_S = 1e-6


class Rates:
    """The rates of some keys.

    Args:
        keys: those of the file.
        paid: the numbers, with more places than keys; 0 where nothing was asked.
        clock: seconds that are the same in every process.
    """

    def __init__(
        self,
        keys: Sequence[Key],
        paid: "memoryview[float]",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paid = paid
        self._clock = clock
        self._places = _places(keys, len(paid))

    def count(self, key: Key) -> None:
        """Count a request if the key may ask now.

        Raises:
            RateLimited: not before the seconds that it says.
        """
        if key.requests_per_s is not None:
            paid = self._due(key, key.requests_per_s)
            self._paid[self._places[key.sha256]] = paid + 1 / key.requests_per_s

    def check(self, key: Key) -> None:
        """Return if the key may ask now; raises as ``count`` does, and counts nothing."""
        if key.requests_per_s is not None:
            self._due(key, key.requests_per_s)

    def _due(self, key: Key, requests_per_s: float) -> float:
        """Return the moment at which all is paid that was asked, now or later."""
        now = self._clock()
        paid = max(self._paid[self._places[key.sha256]], now)
        wait_s = paid - now - (key.burst - 1) / requests_per_s
        if wait_s > _ROUNDING_S:
            raise RateLimited("the API key has asked more often than it may", wait_s)
        return paid


def _places(keys: Sequence[Key], count: int) -> dict[str, int]:
    """Return a place for each key, by its hash: it keeps it while the file changes."""
    places: dict[str, int] = {}
    taken: set[int] = set()
    for key in keys:
        place = int(key.sha256[:8], 16) % count
        while place in taken:
            place = (place + 1) % count
        taken.add(place)
        places[key.sha256] = place
    return places
