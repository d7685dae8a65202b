"""Whether a call that failed is tried again, and when; it waits for nothing itself.

Back-off is exponential with full jitter: clients that failed together do not come back together.
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from foldserve_client.errors import (
    ConnectionFailed,
    FoldserveError,
    InvalidCall,
    ServiceError,
    TimedOut,
)

log = logging.getLogger("foldserve_client")

# "Not now" of the server, and of a proxy whose server went away. Not 504: its time was ours too.
_NOT_NOW = frozenset({429, 502, 503})


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is tried again, and after how long.

    Before the attempt after the n-th the wait is random between 0 and ``first_delay_s`` · 2ⁿ⁻¹,
    on top of what the server asks for with ``Retry-After``.

    Args:
        attempts: at most, with the first; 1 never tries again. Five of them bear a worker that
            is replaced, and multiply the load of an outage by no more than that.
        first_delay_s: the longest wait before the second attempt: some runs of most models.
        longest_delay_s: no wait is longer, but for ``Retry-After``.
        chance: a number from 0 to below 1, another each time.

    Raises:
        InvalidCall: a number is out of its bounds.
    """

    attempts: int = 5
    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0
    chance: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidCall(f"attempts must be 1 or more, not {self.attempts}")
        for name in ("first_delay_s", "longest_delay_s"):
            if not (seconds := getattr(self, name)) >= 0:  # NaN is not, either
                raise InvalidCall(f"{name} must be 0 or more, not {seconds}")

    def backoff_s(self, failed: int) -> float:
        """Return a wait after so many attempts."""
        return self.chance() * min(self.longest_delay_s, self.first_delay_s * 2.0 ** (failed - 1))


DEFAULT = Retries()
NEVER = Retries(attempts=1)


class Attempts:
    """The attempts of one call, and the time that all of them share.

    Args:
        retries: the rule.
        timeout_s: from now to the end of the last attempt.
        clock: seconds that never go backwards.
    """

    def __init__(self, retries: Retries, timeout_s: float, clock: Callable[[], float]) -> None:
        self._retries = retries
        self._timeout_s = timeout_s
        self._clock = clock
        self._deadline = clock() + timeout_s
        self._failed = 0

    def left_s(self) -> float:
        """Return the seconds that an attempt may take which begins now.

        Raises:
            TimedOut: none.
        """
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimedOut(f"no answer within {self._timeout_s:g} s")
        return left

    def wait_s(self, failure: FoldserveError) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            failure: of the last one.

        Raises:
            FoldserveError: the failure, where there is no next one.
        """
        self._failed += 1
        wait = self._retries.backoff_s(self._failed) + (_asked_for_s(failure) or 0.0)
        late = self._clock() + wait >= self._deadline
        if late or self._failed >= self._retries.attempts or not _may_pass(failure):
            if self._failed > 1:
                failure.add_note(f"of attempt {self._failed}")
            raise failure
        log.info("attempt %d failed, the next is in %.3f s: %s", self._failed, wait, failure)
        return wait


def _asked_for_s(failure: FoldserveError) -> float | None:
    return failure.retry_after_s if isinstance(failure, ServiceError) else None


def _may_pass(failure: FoldserveError) -> bool:
    if isinstance(failure, ServiceError):
        return failure.status in _NOT_NOW
    return isinstance(failure, ConnectionFailed)
