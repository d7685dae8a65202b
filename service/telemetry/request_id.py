"""The id of a request: the client's own if it does no harm, or a new one."""

import itertools
import re
import uuid

# What a log line, a header and a JSON string carry without quoting; a UUID has 36.
_SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestIds:
    """Ids of one app: a random half that is its own, and a number."""

    def __init__(self) -> None:
        self._prefix = uuid.uuid4().hex[:16]
        self._given = itertools.count()

    def choose(self, offered: str | None) -> str:
        """Return the id that a client offered, or the next one in its place."""
        if offered is not None and _SANE.fullmatch(offered):
            return offered
        return f"{self._prefix}{next(self._given):016x}"
