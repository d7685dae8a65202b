"""Requests that were refused unread: one line in the log a second for each kind.

Whoever tries keys, or asks on beyond a rate or what can be answered, would fill a log with a line
for each attempt; and a line takes longer to write than the refusal.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

import structlog

log = structlog.get_logger()

_EVERY_S = 1.0

Later = Callable[[float, Callable[[], None]], object]
"""Calls a function once some seconds have passed."""


def _on_the_loop(seconds: float, function: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, function)


class Refusals:
    """Counts refusals and logs them.

    Args:
        later: the event loop's; none of them is lost when they end.
    """

    def __init__(self, later: Later = _on_the_loop) -> None:
        self._later = later
        self._waiting: Counter[str] = Counter()  # since the last line of each kind
        self._told: set[str] = set()  # in the last second

    def add(self, kind: str, request_id: str) -> None:
        """Take a refusal; the first of a kind is logged at once.

        Args:
            kind: the error's code.
            request_id: stands in the line of the first.
        """
        if kind in self._told:
            self._waiting[kind] += 1
        else:
            self._tell(kind, 1, request_id=request_id)

    def _tell(self, kind: str, count: int, **more: str) -> None:
        log.info("requests refused", code=kind, count=count, **more)
        self._told.add(kind)
        self._later(_EVERY_S, lambda: self._go_on(kind))

    def _go_on(self, kind: str) -> None:
        self._told.discard(kind)
        if count := self._waiting.pop(kind, 0):
            self._tell(kind, count)
