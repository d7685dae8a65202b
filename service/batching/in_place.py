"""Runs on the event loop's own thread: what arrived in one turn of the loop is one batch.

That is faster where a run takes less than waking a thread and being woken by it.
"""

import time
from collections.abc import Callable, Iterator
from typing import Generic

from service.batching.runners import Item, Outcome, Result, Run, attempt
from service.batching.waiting import Call

# Of batches one after the other, without a turn for the rest of the loop: so long that a turn,
# some 10 microseconds, is no price, and so short that nobody notices.
_TURN_S = 1e-3


class InPlace(Generic[Item, Result]):
    """The road of a `Lineup` without threads: nothing is under way when anyone could ask.

    Args:
        run: answers a batch.
        take: returns the next batch, empty if there is none.
        done: told of a batch, how it went, and the seconds of the run.
        later: asks for another ``fill`` in the next turn of the loop.
    """

    under_way = running_rows = ready_rows = 0

    def __init__(
        self,
        run: Run[Item, Result],
        take: Callable[[], list[Call[Item, Result]]],
        done: Callable[[list[Call[Item, Result]], Outcome[Result], float], None],
        later: Callable[[], None],
    ) -> None:
        self._run = run
        self._take = take
        self._done = done
        self._later = later

    def __iter__(self) -> Iterator[Call[Item, Result]]:
        """Yield nothing."""
        return iter(())

    def leave(self, call: Call[Item, Result]) -> None:
        """Remove nothing."""

    def fill(self) -> None:
        """Run what there is, for as long as the loop can wait."""
        began = time.monotonic()
        while calls := self._take():
            outcome = attempt(self._run, [call.item for call in calls])
            self._done(calls, outcome, outcome.ended - outcome.began)
            if outcome.ended - began >= _TURN_S:
                self._later()
                return

    def close(self) -> None:
        """End nothing."""

    def join(self, timeout_s: float) -> None:
        """Wait for nothing."""
