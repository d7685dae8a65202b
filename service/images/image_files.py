"""From the bytes of an image file to a decoded picture, upright and in one color mode.

JPEGs are decoded by Pillow's own libjpeg-turbo; ``python -m benchmarks.decoding`` prints what
other decoders would save: the same pixels in nearly the same time.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from service.errors import ImageTooLarge, InvalidImage, ServiceError, UnsupportedImage
from service.images.pieces import reader_of

FORMATS = ("JPEG", "PNG", "WEBP")

# A sixteen-bit sample keeps its high byte, as Pillow itself does for sixteen-bit color.
_HIGH_BYTE = 8

# Of a picture with transparency so much is laid over black at once: of the largest picture whole,
# every step would take as much memory again as the picture has.
_STRIP_PIXELS = 2**18

# Progressive files have about ten, and each passes over every pixel for as little as sixty
# bytes: without a bound one request keeps a thread busy for hours.
_MOST_JPEG_SCANS = 64
_START_OF_SCAN = 0xDAFF  # the marker's two bytes, read as one number of low byte first


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """Read an image's header, and nothing more.

    Raises:
        UnsupportedImage: the bytes are in no format that is decoded.
        InvalidImage: the file is empty, its header is damaged, or it is slow to decode by design.
        ImageTooLarge: more pixels than ``max_pixels``.
    """
    if not data:
        raise InvalidImage("the body is empty, not an image")
    try:
        image = Image.open(reader_of(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnsupportedImage("the body is not a JPEG, PNG or WebP image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageTooLarge(f"the image has more than {max_pixels} pixels") from None
    except ServiceError:
        raise
    except Exception as error:  # Pillow raises nearly every type on damaged files
        raise InvalidImage("the image's header is truncated or damaged") from error
    refuse_pixels(*image.size, max_pixels)
    if is_jpeg(image) and _scans(data) > _MOST_JPEG_SCANS:
        raise InvalidImage(f"the JPEG image has more than {_MOST_JPEG_SCANS} scans")
    return image


def is_jpeg(image: Image.Image) -> bool:
    """Whether it is a JPEG, also one of many phones that holds a second picture (an MPO)."""
    return isinstance(image, JpegImageFile)


def picture(image: Image.Image, color: str) -> Image.Image:
    """Decode what was opened, turn it upright and convert it to ``color``, "L" or "RGB".

    Raises:
        InvalidImage: the file is truncated or damaged.
    """
    with refusing_damage(image):
        image.load()
        # In place: otherwise Pillow copies what stands upright already.
        ImageOps.exif_transpose(image, in_place=True)
        return _to_color(image, color)


@contextmanager
def refusing_damage(image: Image.Image) -> Iterator[None]:
    """Say of every failure within that the file is damaged.

    Raises:
        InvalidImage: Pillow's decoders raise nearly every type on damaged files.
    """
    try:
        yield
    except ServiceError:
        raise
    except Exception as error:
        kind = "JPEG" if is_jpeg(image) else image.format
        raise InvalidImage(f"the {kind} image is truncated or damaged") from error


def refuse_pixels(width: int, height: int, max_pixels: int) -> None:
    """Refuse what would take too much memory.

    Raises:
        ImageTooLarge: more pixels than ``max_pixels``.
    """
    if math.prod((width, height)) > max_pixels:
        raise ImageTooLarge(f"{width} x {height} are more than {max_pixels} pixels")


def _scans(data: bytes) -> int:
    """Inside a scan the marker's first byte is stuffed: the two stand together nowhere else.

    NumPy counts a large file in a sixth of the time of ``bytes.count``, which is 3 % of it all.
    """
    views = (np.frombuffer(data, "<u2", (len(data) - start) // 2, start) for start in (0, 1))
    return sum(int(np.count_nonzero(view == _START_OF_SCAN)) for view in views)


def _to_color(image: Image.Image, color: str) -> Image.Image:
    """Transparency lies over black."""
    if image.mode.startswith("I;16"):
        samples = np.asarray(image, dtype=np.uint16) >> _HIGH_BYTE
        image = Image.fromarray(samples.astype(np.uint8))
    if image.has_transparency_data:
        return _over_black(image, color)
    return image if image.mode == color else image.convert(color)


def _over_black(image: Image.Image, color: str) -> Image.Image:
    rows = max(1, _STRIP_PIXELS // image.width)
    if rows >= image.height:
        return _strip_over_black(image, color)
    whole = Image.new(color, image.size)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        whole.paste(_strip_over_black(image.crop(box), color), box)
    return whole


def _strip_over_black(image: Image.Image, color: str) -> Image.Image:
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA")).convert(color)
