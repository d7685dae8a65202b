"""The header ``Retry-After``: seconds or a date (RFC 9110, 10.2.3)."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# More than a year; a number of more digits is no time to wait, and slow to read.
_MOST_DIGITS = 8


def retry_after_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds after which an answer wants to be asked for again, None if it does not.

    A date is taken relative to the answer's own ``Date``, so that a clock that is wrong here or
    there changes nothing.

    Args:
        headers: of the answer, with names in lower case.
        now: seconds since the epoch, where the answer has no date; by default the clock's.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value) if len(value) <= _MOST_DIGITS else None
    due = _moment(value)
    if due is None:
        return None
    sent = _moment(headers.get("date", ""))
    since = sent.timestamp() if sent else time.time() if now is None else now
    return max(0.0, due.timestamp() - since)


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)  # HTTP's dates are all in UTC
