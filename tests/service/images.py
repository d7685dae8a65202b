"""Images as bytes."""

import io
from typing import Any

from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(level: int, size: tuple[int, int] = (4, 4), kind: str = "PNG") -> bytes:
    """A picture of one level, 0 black and 255 white."""
    return encoded(Image.new("L", size, level), kind)
