"""From an image file to the array that a model takes; the service does the same, byte for byte."""

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from training.inputs import ImageInput

FORMATS = ("JPEG", "PNG", "WEBP")
"""What is decoded; Pillow knows dozens more, and some of them start other programs."""

_MOST_PIXELS = 89_478_485  # to which an image may be enlarged: Pillow's bound for decoded ones

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def evaluation(source: Path | IO[bytes], expected: ImageInput) -> NDArray[np.float32]:
    """Decode, turn upright, convert, resize and crop.

    Args:
        source: A JPEG, PNG or WebP file.
        expected: What the model takes.

    Returns:
        Raw values 0..255, shape (channels, height, width), C-contiguous.

    Raises:
        OSError: If it is not such a file (Pillow's UnidentifiedImageError is one).
        ValueError: If it is so long and thin that to fill the crop would take gigabytes.
        Exception: Pillow's decoders raise nearly every type on damaged files.
    """
    return pixels(source, expected).astype(np.float32)


def pixels(source: Path | IO[bytes], expected: ImageInput) -> NDArray[np.uint8]:
    """The same as `evaluation`, in the bytes in which a data set keeps it."""
    with Image.open(source, formats=FORMATS) as opened:
        upright = ImageOps.exif_transpose(opened)
    fitted = _fit(_convert(upright, expected.color), expected)
    array = np.asarray(fitted, dtype=np.uint8).reshape(expected.height, expected.width, -1)
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def _convert(image: Image.Image, color: str) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow clips 16-bit grey to white; of 16-bit color it keeps the high byte, as we do.
        image = Image.fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, (0, 0, 0, 255)), over)
    return image.convert(color)


def _fit(image: Image.Image, expected: ImageInput) -> Image.Image:
    if expected.crop_fraction is None:
        return _resize(image, expected.width, expected.height, expected)
    short_height = round(expected.height / expected.crop_fraction)
    short_width = round(expected.width / expected.crop_fraction)
    scale = max(short_width / image.width, short_height / image.height)
    width = max(short_width, round(image.width * scale))
    height = max(short_height, round(image.height * scale))
    if width * height > _MOST_PIXELS:
        raise ValueError(f"so long and thin that it would be enlarged to {width} x {height} pixels")
    left, top = (width - expected.width) // 2, (height - expected.height) // 2
    resized = _resize(image, width, height, expected)
    return resized.crop((left, top, left + expected.width, top + expected.height))


def _resize(image: Image.Image, width: int, height: int, expected: ImageInput) -> Image.Image:
    if image.size == (width, height):
        return image
    return image.resize((width, height), _FILTERS[expected.resize_filter])
