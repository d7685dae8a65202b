"""Images as bytes."""

import io
from typing import Any

import numpy as np
from PIL import Image

from service.artifact.manifest import ImageInput


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(level: int, size: tuple[int, int] = (4, 4), kind: str = "PNG") -> bytes:
    """A picture of one level, 0 black and 255 white."""
    return encoded(Image.new("L", size, level), kind)


def noise(height: int, width: int) -> Image.Image:
    """A picture of colors that no compression makes small, the same each time."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (height, width, 3), np.uint8)
    return Image.frombytes("RGB", (width, height), values.tobytes())


def image_input(height: int, width: int, color: str, **changes: Any) -> ImageInput:
    """What a manifest says of an image of that size, scaled without a crop."""
    document = {
        "name": "input",
        "kind": "image",
        "layout": "NCHW",
        "color": color,
        "channels": {"L": 1, "RGB": 3}[color],
        "height": height,
        "width": width,
        "value_range": (0, 255),
        "resize_filter": "bilinear",
        "crop_fraction": None,
    }
    return ImageInput.model_validate(document | changes)
