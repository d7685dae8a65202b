"""Model files that are zip archives with JSON in them: ``.keras`` and ``.pt2``."""

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

DAMAGED = (
    OSError,
    EOFError,
    KeyError,  # what should be in it is not
    ValueError,
    RuntimeError,  # it is encrypted, packed in a way that is not known, or nested without end
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What `zipfile` and `json` raise on files that are damaged, or no such files at all."""


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value, the outer ones first."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
