"""The bytes of a picture, whatever it is given as."""

import io
import os
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable

from foldserve_client.errors import InvalidCall


@runtime_checkable
class Saves(Protocol):
    """A picture of Pillow's, which this package need not import."""

    def save(self, fp: IO[bytes], format: str, /) -> None:
        """Write the picture in a format."""


Image = bytes | bytearray | memoryview | str | os.PathLike[str] | Saves


def image_bytes(image: Image) -> bytes:
    """Return an encoded picture; reads a file, or encodes for a while.

    Args:
        image: the bytes of a file as they are; the path of one; or a picture of Pillow's, whose
            pixels go as PNG, which loses nothing.

    Raises:
        InvalidCall: it is none of these.
        OSError: the file cannot be read.
    """
    given: Any = image
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, str | os.PathLike):
        return Path(given).read_bytes()
    if isinstance(given, Saves):
        encoded = io.BytesIO()
        given.save(encoded, "PNG")
        return encoded.getvalue()
    raise InvalidCall(
        f"an image is its bytes, a path or a Pillow image, not {type(given).__name__}"
    )
