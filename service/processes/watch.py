"""Which workers hang: their event loops give a sign of life each second, on the board.

What counts is whether the count of signs has changed between two looks, so no two processes
compare clocks. Whoever looks may be held up as well, together with the workers or alone: a
stopped process group, a suspended laptop, a paused container. Time in which nobody looked is no
silence.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.telemetry.board import Slot

BEAT_S = 1.0
"""Seconds between two signs of life, and between two looks for them: a fifth of the least
patience that can be set."""

# Of the patience. Who is held up for less, and looks a moment before the workers have given
# their first sign again, has still not been patient for long enough.
_ABSENT = 1 / 3


@dataclass
class _Seen:
    """The signs of life at the last look that found a new one, and when that was."""

    beats: float
    at: float


class Watch:
    """Tells which workers have been silent for too long.

    Args:
        slots: of the workers, by number.
        patience_s: seconds of silence.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._patience_s = patience_s
        self._clock = clock
        self._seen: dict[int, _Seen] = {}
        self._looked = clock()

    def begin(self, number: int) -> None:
        """Expect signs of life of a worker from now on."""
        self._seen[number] = _Seen(self._slots[number].beats, self._clock())

    def end(self, number: int) -> None:
        """Expect nothing of a worker any more."""
        self._seen.pop(number, None)

    def silent(self) -> list[int]:
        """Look, and return the workers that hang; called about every ``BEAT_S`` seconds."""
        now = self._clock()
        was_absent = now - self._looked > _ABSENT * self._patience_s
        self._looked = now
        for number, seen in self._seen.items():
            beats = self._slots[number].beats
            if was_absent or beats != seen.beats:
                self._seen[number] = _Seen(beats, now)
        return [n for n, seen in self._seen.items() if now - seen.at >= self._patience_s]
