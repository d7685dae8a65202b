"""From the bytes of an image to a model's input tensor; pure functions.

The convention is the manifest's and is shared with training to the byte: orientation,
color, geometry, then the layout: the decoded bytes as they are, or float32 in their own range.
Scaling is inside the graph.
"""

import functools
import math
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.artifact.manifest import ImageInput
from service.images.image_files import open_image, picture, refuse_pixels, refusing_damage
from service.images.room import Room
from service.images.scaled_decoding import Draft, Size, draft

ImageTensor = NDArray[np.float32] | NDArray[np.uint8]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# Up to here an image is a tensor in 0.04 to 0.2 ms. To have a thread do it costs 0.02 to 0.05 ms
# more of the processor, and the way there and back (`python -m benchmarks.decoding`).
_SMALL_BYTES = 4096  # what else a file holds is bounded, too: compressed text expands
_SMALL_PIXELS = 64 * 64


def image_tensor(
    data: bytes,
    spec: ImageInput,
    max_pixels: int,
    *,
    scaled: bool = False,
    room: Room | None = None,
) -> ImageTensor:
    """Return the tensor of one image, C-contiguous; waits until there is room for its pixels.

    Of layout NCHW: float32, shape (channels, height, width). Of layout NHWC: uint8, shape
    (height, width, channels), which are the decoded bytes themselves, read-only.

    Args:
        data: a JPEG, PNG or WebP file; of an animation the first frame counts.
        spec: the manifest's input.
        max_pixels: checked before anything is decoded, and again before an enlargement.
        scaled: a large JPEG may be decoded smaller, near the exact tensor and not it.
        room: shared with the images of other threads.

    Raises:
        UnsupportedImage: the bytes are in no format that is decoded.
        InvalidImage: the file is empty, truncated, damaged, or slow to decode by design.
        ImageTooLarge: more pixels than ``max_pixels``.
    """
    image = open_image(data, max_pixels)
    with room.taken(math.prod(image.size)) if room else nullcontext():
        return _arranged(_fitted(image, spec, max_pixels, scaled=scaled), spec)


def small_image_tensor(data: bytes, spec: ImageInput, max_pixels: int) -> ImageTensor | None:
    """Return the tensor if that takes less time than to have a thread do it; otherwise None.

    Raises:
        UnsupportedImage, InvalidImage, ImageTooLarge: as ``image_tensor``.
    """
    if len(data) > _SMALL_BYTES:
        return None
    image = open_image(data, max_pixels)
    # How it is turned is not known yet: a sliver may fill a crop in one way and burst it the other.
    sizes = [image.size, *(resized_size(each, spec) for each in (image.size, image.size[::-1]))]
    if any(math.prod(size) > _SMALL_PIXELS for size in sizes):
        return None
    return _arranged(_fitted(image, spec, max_pixels), spec)


def resized_size(size: Size, spec: ImageInput) -> Size:
    """Return the (width, height) that an upright picture is resized to, before any crop."""
    if spec.crop_fraction is None:
        return spec.width, spec.height
    return covering_size(size, spec, spec.crop_fraction)


def covering_size(size: Size, spec: ImageInput, fraction: float) -> Size:
    """Return the (width, height) that keeps the aspect and covers the input / ``fraction``."""
    height, width = round(spec.height / fraction), round(spec.width / fraction)
    scale = max(width / size[0], height / size[1])
    return max(width, round(size[0] * scale)), max(height, round(size[1] * scale))


def _fitted(
    image: Image.Image, spec: ImageInput, max_pixels: int, *, scaled: bool = False
) -> Image.Image:
    """Decode what was opened and bring it to the size of the model's input.

    Raises:
        InvalidImage: the file is truncated or damaged.
        ImageTooLarge: so long and thin that filling the crop would enlarge it past bounds.
    """
    drafted = _drafted(image, spec) if scaled else None
    decoded = picture(image, spec.color)
    size, part = drafted or (resized_size(decoded.size, spec), None)
    if spec.crop_fraction is not None:
        refuse_pixels(*size, max_pixels)
    if size != decoded.size:
        decoded = decoded.resize(size, _FILTERS[spec.resize_filter], part)
    if size == (spec.width, spec.height):
        return decoded
    left, top = (size[0] - spec.width) // 2, (size[1] - spec.height) // 2
    return decoded.crop((left, top, left + spec.width, top + spec.height))


def _drafted(image: Image.Image, spec: ImageInput) -> Draft | None:
    with refusing_damage(image):  # its EXIF is read
        resized = functools.partial(resized_size, spec=spec)
        return draft(image, resized, spec.color, spec.resize_filter)


def _arranged(image: Image.Image, spec: ImageInput) -> ImageTensor:
    pixels = np.asarray(image, dtype=np.uint8)
    channels_last = pixels.reshape(spec.height, spec.width, spec.channels)
    if spec.layout == "NHWC":
        return channels_last
    return np.ascontiguousarray(channels_last.transpose(2, 0, 1), dtype=np.float32)
