"""Decodes a large JPEG at a half, a quarter or an eighth of its size, where that is asked for.

libjpeg then leaves the high frequencies of each 8 x 8 block out, which is faster than to compute
pixels that the resize averages away, and another low-pass filter than the resize's: the result
is near what training saw and not the same, so it is a setting that is off until it is chosen.

How near depends on how much larger than the model's input the decoded picture still is. In grey
levels of 255, over the photographs, filters and reductions of ``python -m benchmarks.decoding
--errors``:

    at least                              1 x   2 x   3 x   4 x
    mean, of the worst photograph         5.4   1.7   0.8   0.6
    largest difference of any value        71    21    18    10
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

Size = tuple[int, int]
Box = tuple[float, float, float, float]
Side = TypeVar("Side", int, float)

# The first column above whose photographs all are less than one level off.
_MARGIN = 3
# Filters that weigh their neighbours: a box takes a pixel or not, and is several levels off.
_SMOOTH = ("bilinear", "bicubic", "lanczos")

# EXIF's orientations: in which the stored picture lies on its side, and in which its right or
# bottom border, where a reduction leaves part of a pixel over, ends up left or on top.
_ON_ITS_SIDE = (5, 6, 7, 8)
_RIGHT_ENDS_LEFT = (2, 3, 6, 7)
_BOTTOM_ENDS_TOP = (3, 4, 7, 8)


class Draft(NamedTuple):
    """A picture that will be decoded smaller than it is."""

    size: Size
    """What the upright picture is to be resized to."""
    part: Box
    """Which part of the upright, smaller one the whole takes: a last pixel may be there in part."""


def draft(
    image: Image.Image, resized: Callable[[Size], Size], color: str, resize_filter: str
) -> Draft | None:
    """Have an opened JPEG decoded smaller, if it is much larger than it will be resized to.

    Args:
        image: its header is read, its pixels are not.
        resized: gives the (width, height) that an upright picture of a size is resized to.
        color: "L" or "RGB"; for "L" the file's own luminance is taken, one level off at most.
        resize_filter: as the manifest names it.
    """
    if not isinstance(image, JpegImageFile) or resize_filter not in _SMOOTH:
        return None
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    size = resized(_turned(image.size, orientation))
    width, height = _turned((_MARGIN * size[0], _MARGIN * size[1]), orientation)
    if image.width < 2 * width or image.height < 2 * height:
        return None
    drafted = image.draft(color, (width, height))
    if drafted is None:
        return None
    return Draft(size, _upright(drafted[1][2:], image.size, orientation))


def _turned(size: tuple[Side, Side], orientation: object) -> tuple[Side, Side]:
    return size[::-1] if orientation in _ON_ITS_SIDE else size


def _upright(extent: tuple[float, float], size: Size, orientation: object) -> Box:
    """Where in the turned picture of that stored size the stored extent from (0, 0) lies."""
    (right, bottom), (width, height) = _turned(extent, orientation), _turned(size, orientation)
    left = width - right if orientation in _RIGHT_ENDS_LEFT else 0
    top = height - bottom if orientation in _BOTTOM_ENDS_TOP else 0
    return left, top, left + right, top + bottom
