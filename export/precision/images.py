"""A folder of images as a network's inputs, by the steps that the manifest promises of the service.

Training and service have these steps as well: the three packages meet at files alone, and a
contract test holds them to the same bytes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.errors import UsageError, first_line
from export.sources.original import ImageInput

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
FORMATS = ("JPEG", "PNG", "WEBP")  # what training and the service decode
LARGEST = 1 << 27  # bytes of pixels, 891 images of 3 x 224 x 224; as floats they are half a GB


def read_folder(
    folder: Path, given: ImageInput, labels: Sequence[str] | None, where: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None]:
    """Decode the images in a folder and its subfolders.

    Args:
        folder: The folder; of more images than memory is to hold, evenly spaced ones are taken.
        given: What the network takes.
        labels: Its class names.
        where: How the user named the folder.

    Returns:
        Pixels (N, channels, height, width), and classes (N,) if every image lies in a folder that
        is named like a class.

    Raises:
        UsageError: There is no image in it, or one that cannot be read.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UsageError(f"{where}: holds no {', '.join(sorted(SUFFIXES))} files")
    most = max(1, LARGEST // (given.channels * given.height * given.width))
    taken = [paths[index] for index in _evenly(len(paths), most)]
    return np.stack(list(_pixels(taken, given, where))), _classes(taken, labels)


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).astype(np.int64)


def _classes(paths: Sequence[Path], labels: Sequence[str] | None) -> NDArray[np.int64] | None:
    names = [path.parent.name for path in paths]
    if labels is None or not set(labels).issuperset(names):
        return None
    return np.array([list(labels).index(name) for name in names], np.int64)


def _pixels(paths: Sequence[Path], given: ImageInput, where: str) -> Iterator[NDArray[np.uint8]]:
    for path in paths:
        try:
            yield read_image(path, given)
        except Exception as error:  # Pillow's decoders raise nearly every type on damaged files
            raise UsageError(
                f"{where}: {path.name} cannot be read ({first_line(error)})"
            ) from error


def read_image(path: Path, given: ImageInput) -> NDArray[np.uint8]:
    """Decode, turn upright, convert, resize and crop one image: (channels, height, width)."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - whoever has arrays does not wait for it

    with Image.open(path, formats=FORMATS) as opened:
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16"):  # of a 16-bit sample the high byte counts
        image = Image.fromarray((np.asarray(image, np.uint16) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    image = image.convert(given.color)
    width, height = _covering(image.size, given)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling[given.resize_filter.upper()])
    left, top = (width - given.width) // 2, (height - given.height) // 2
    image = image.crop((left, top, left + given.width, top + given.height))
    array = np.asarray(image, np.uint8).reshape(given.height, given.width, given.channels)
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def _covering(size: tuple[int, int], given: ImageInput) -> tuple[int, int]:
    """The (width, height) to resize to: that of the input, or one that covers input / fraction."""
    if given.crop_fraction is None:
        return given.width, given.height
    height, width = (
        round(given.height / given.crop_fraction),
        round(given.width / given.crop_fraction),
    )
    scale = max(width / size[0], height / size[1])
    return max(width, round(size[0] * scale)), max(height, round(size[1] * scale))
