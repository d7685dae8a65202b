"""How far a scaled decoding is from the exact one, by how much larger it still is than needed."""

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.decoding.pictures import jpeg

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
REDUCTIONS = (2, 4, 8)
_LEAST_SIDE = 4  # of a result: of a smaller one a mean says nothing


class Difference(NamedTuple):
    """In grey levels of 255."""

    mean: float
    largest: int


def worst(images: Sequence[Image.Image], margin: float) -> Difference:
    """The largest of either over images, reductions and filters."""
    found = list(_differences(((image, jpeg(image)) for image in images), margin))
    return Difference(max(each.mean for each in found), max(each.largest for each in found))


def _differences(files: Iterable[tuple[Image.Image, bytes]], margin: float) -> Iterator[Difference]:
    for (image, data), reduction in product(files, REDUCTIONS):
        width, height = (int(side / reduction / margin) for side in image.size)
        if min(width, height) < _LEAST_SIDE:
            continue
        for each in FILTERS:
            exact = Image.open(io.BytesIO(data)).resize((width, height), each)
            levels = np.abs(
                np.asarray(exact, dtype=int)
                - np.asarray(_scaled(data, reduction, (width, height), each), dtype=int)
            )
            yield Difference(float(levels.mean()), int(levels.max()))


def _scaled(
    data: bytes, reduction: int, size: tuple[int, int], each: Image.Resampling
) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    width, height = image.size
    image.draft("RGB", (width // reduction, height // reduction))
    return image.resize(size, each, box=(0, 0, width / reduction, height / reduction))
