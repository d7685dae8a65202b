"""A body's JSON, as long as it is made of no more parts than a request can have."""

from typing import Any

import orjson

from service.errors import InvalidJSON, InvalidRequest

# An empty list is two bytes on the wire and 56 in memory, and the collector goes through all that
# there are, again and again while they grow in number: sixteen megabytes of them kept the process
# from everything else for ten times as long as sixteen megabytes of numbers. A picture of a
# megapixel as nested lists has a thousand of them, or a million where each number is in its own.
_MOST_PARTS = 2**20


def read_json(text: bytes | memoryview) -> Any:
    """Return what a body's JSON says; blocks for as long as it takes to read it.

    Raises:
        InvalidJSON: it is none; NaN and infinity are no JSON either.
        InvalidRequest: it has too many lists and objects.
    """
    if len(text) > _MOST_PARTS and _parts(bytes(text)) > _MOST_PARTS:
        raise InvalidRequest(f"the body's JSON has more than {_MOST_PARTS} lists and objects")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidJSON(f"the body is not JSON: {error.msg} at byte {error.pos}") from None


def _parts(text: bytes) -> int:
    """Return how many lists and objects begin in it, and brackets in texts."""
    return text.count(b"[") + text.count(b"{")
