"""Ends runs that go on for too long: by the runtime's flag, and where it is deaf, the process.

A run may hold up the event loop, so a thread of its own looks: at every run, how long it has
been going on. The runtime reads the flag between two operators (`RunOptions.terminate`); one
operator that never returns can only end with its process, whose place another one takes.
"""

import math
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

_log = structlog.get_logger()

# A run is ended at most this part of its time late, and the thread wakes rarely.
_LOOKS = 10

# Of one operator after the flag was set: far more than any of those that end takes.
_DEAF_S = 20.0

# What follows is a process that ended by itself (sysexits.h: internal software error).
EXIT_STATUS = 70


class Turn:
    """One run at a time.

    Args:
        options: of the runtime, whose ``terminate`` ends the run.
    """

    __slots__ = ("ended_at", "options", "since")

    def __init__(self, options: Any) -> None:
        self.options: Final = options
        self.since = math.inf  # when the run began; infinite between two runs
        self.ended_at: float | None = None

    @property
    def was_ended(self) -> bool:
        """Whether the watchdog ended the run."""
        return self.ended_at is not None


class Watchdog:
    """Knows the runs of one model; safe in several threads.

    Args:
        new_options: makes options of the runtime, whose ``terminate`` ends a run.
        timeout_s: of one run; infinite for no end, and no thread.
        deaf_s: that an ended run may go on before ``give_up`` is called.
        give_up: ends the process.
    """

    def __init__(
        self,
        new_options: Callable[[], Any],
        timeout_s: float,
        deaf_s: float = _DEAF_S,
        give_up: Callable[[], None] = lambda: os._exit(EXIT_STATUS),
    ) -> None:
        self._new_options = new_options
        self._timeout_s = timeout_s
        self._deaf_s = deaf_s
        self._give_up = give_up
        self._free: list[Turn] = []
        self._turns: dict[Turn, None] = {}  # the free ones and those under way
        self._closed = threading.Event()
        self.hangs = False
        if timeout_s < math.inf:
            threading.Thread(target=self._look_on, name="watchdog", daemon=True).start()

    def begin(self) -> Turn:
        """Return the turn of a run that begins now."""
        try:
            turn = self._free.pop()
        except IndexError:
            turn = Turn(self._new_options())
            self._turns[turn] = None
            turn.options.terminate = self._closed.is_set()
        turn.since = time.monotonic()
        return turn

    def end(self, turn: Turn) -> None:
        """Take the turn of a run that has ended, well or not."""
        took = time.monotonic() - turn.since
        turn.since = math.inf
        self.hangs = turn.was_ended
        # The thread may be about to end the run of a turn that was late: no other run may have it.
        if took < self._timeout_s / 2 and not self._closed.is_set():
            self._free.append(turn)
        else:
            del self._turns[turn]

    def close(self) -> None:
        """End the runs under way and those that would follow; look no more."""
        self._closed.set()
        for turn in tuple(self._turns):
            turn.options.terminate = True

    def _look_on(self) -> None:
        while not self._closed.wait(self._timeout_s / _LOOKS):
            now = time.monotonic()
            for turn in tuple(self._turns):
                self._look_at(turn, now)

    def _look_at(self, turn: Turn, now: float) -> None:
        if now - turn.since < self._timeout_s:
            return
        if turn.ended_at is None:
            turn.ended_at = now
            self.hangs = True
            turn.options.terminate = True
            _log.error("run ended", reason="it took too long", timeout_s=self._timeout_s)
        elif now - turn.ended_at >= self._deaf_s:
            _log.critical("process ended", reason="a run that was ended goes on")
            self._give_up()
