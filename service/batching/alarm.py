"""One timer for the earliest of many times, in place of a timer for each."""

import asyncio
import math
import time
from collections.abc import Callable

# uvloop's timers count whole milliseconds: one that is shorter fires at once, and then too early.
_TICK_S = 1e-3


class Alarm:
    """Rings once, at the earliest time that it was set to; made inside a running event loop.

    Args:
        ring: called on the event loop, at the time or a little before or after it.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._when = math.inf

    def by(self, when: float) -> None:
        """Ring by this time of ``time.monotonic``, if it would not ring before."""
        if when < self._when:
            self.cancel()
            self._when = when
            left = max(when - time.monotonic(), _TICK_S)
            self._timer = self._loop.call_later(left, self._fire)

    def cancel(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._when = None, math.inf

    def _fire(self) -> None:
        self._timer, self._when = None, math.inf
        self._ring()
