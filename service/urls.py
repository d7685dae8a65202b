"""Forms of URLs that settings may have."""

import re

# As browsers send it (RFC 6454): no path, no slash at the end, no capitals.
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?")

# A URL whose path is more than a slash: without one all would go to /, where no collector is.
_COLLECTOR = re.compile(r"https?://[^/?#\s]+/[^?#\s]+")


def is_origin(text: str) -> bool:
    """Return whether this is an origin as browsers name it."""
    return _ORIGIN.fullmatch(text) is not None


def collector(text: str) -> str:
    """Return the URL of a collector of traces.

    Raises:
        ValueError: it has no path, or is no URL.
    """
    if not _COLLECTOR.fullmatch(text):
        raise ValueError("must be such as http://127.0.0.1:4318/v1/traces, with its path")
    return text
