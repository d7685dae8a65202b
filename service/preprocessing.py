"""From the bytes of an image to a model's input tensor; pure functions.

The convention is the manifest's and is shared with training to the byte: orientation,
color, geometry, then the layout: the decoded bytes as they are, or float32 in their own range.
Scaling is inside the graph.
"""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from service.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from service.manifest import ImageInput

ImageTensor = NDArray[np.float32] | NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP")

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# A sixteen-bit sample keeps its high byte, as Pillow itself does for sixteen-bit color.
_HIGH_BYTE = 8


# Progressive files have about ten, and each passes over every pixel for as little as sixty
# bytes: without a bound one request keeps a thread busy for hours.
_MOST_JPEG_SCANS = 64
_START_OF_SCAN = b"\xff\xda"


def image_tensor(data: bytes, spec: ImageInput, max_pixels: int) -> ImageTensor:
    """Return the tensor of one image, C-contiguous.

    Of layout NCHW: float32, shape (channels, height, width). Of layout NHWC: uint8, shape
    (height, width, channels), which are the decoded bytes themselves, read-only.

    Args:
        data: a JPEG, PNG or WebP file; of an animation the first frame counts.
        spec: the manifest's input.
        max_pixels: checked before anything is decoded, and again before an enlargement.

    Raises:
        UnsupportedImage: the bytes are in no format that is decoded.
        InvalidImage: the file is empty, truncated, damaged, or slow to decode by design.
        ImageTooLarge: more pixels than ``max_pixels``.
    """
    image = open_image(data, max_pixels)
    try:
        image.load()
        image = to_color(ImageOps.exif_transpose(image), spec.color)
    except Exception as error:  # Pillow's decoders raise nearly every type on damaged files
        raise InvalidImage(f"the {image.format} image is truncated or damaged") from error
    pixels = np.asarray(fit(image, spec, max_pixels), dtype=np.uint8)
    channels_last = pixels.reshape(spec.height, spec.width, spec.channels)
    if spec.layout == "NHWC":
        return channels_last
    return np.ascontiguousarray(channels_last.transpose(2, 0, 1), dtype=np.float32)


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """Read an image's header, and nothing more.

    Raises:
        UnsupportedImage, InvalidImage, ImageTooLarge: as ``image_tensor``.
    """
    if not data:
        raise InvalidImage("the body is empty, not an image")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnsupportedImage("the body is not a JPEG, PNG or WebP image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageTooLarge(f"the image has more than {max_pixels} pixels") from None
    except Exception as error:  # as above: a damaged header
        raise InvalidImage("the image's header is truncated or damaged") from error
    _refuse_pixels(image.width, image.height, max_pixels)
    # Inside a scan the marker's first byte is stuffed: the two stand together nowhere else.
    if image.format == "JPEG" and data.count(_START_OF_SCAN) > _MOST_JPEG_SCANS:
        raise InvalidImage(f"the JPEG image has more than {_MOST_JPEG_SCANS} scans")
    return image


def to_color(image: Image.Image, color: str) -> Image.Image:
    """Return the image in mode ``color``, "L" or "RGB"; transparency lies over black."""
    if image.mode.startswith("I;16"):
        samples = np.asarray(image, dtype=np.uint16) >> _HIGH_BYTE
        image = Image.fromarray(samples.astype(np.uint8))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return image if image.mode == color else image.convert(color)


def fit(image: Image.Image, spec: ImageInput, max_pixels: int) -> Image.Image:
    """Bring an image to the size of the model's input.

    Raises:
        ImageTooLarge: so long and thin that filling the crop would enlarge it past bounds.
    """
    resample = _FILTERS[spec.resize_filter]
    if spec.crop_fraction is None:
        size = (spec.width, spec.height)
        return image if image.size == size else image.resize(size, resample)
    size = covering_size(image.size, spec, spec.crop_fraction)
    _refuse_pixels(*size, max_pixels)
    if size != image.size:
        image = image.resize(size, resample)
    left, top = (size[0] - spec.width) // 2, (size[1] - spec.height) // 2
    return image.crop((left, top, left + spec.width, top + spec.height))


def covering_size(size: tuple[int, int], spec: ImageInput, fraction: float) -> tuple[int, int]:
    """Return the (width, height) that keeps the aspect and covers the input / ``fraction``."""
    height, width = round(spec.height / fraction), round(spec.width / fraction)
    scale = max(width / size[0], height / size[1])
    return max(width, round(size[0] * scale)), max(height, round(size[1] * scale))


def _refuse_pixels(width: int, height: int, max_pixels: int) -> None:
    if math.prod((width, height)) > max_pixels:
        raise ImageTooLarge(f"{width} x {height} are more than {max_pixels} pixels")
