"""Large JPEGs decoded smaller: near what training saw, only where asked for, only where it is."""

import functools
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets  # type: ignore[import-untyped]  # has no annotations
from PIL import Image

from service.artifact.manifest import ImageInput
from service.errors import InvalidImage
from service.images.preprocessing import image_tensor
from tests.service.pictures import encoded, image_input

MAX_PIXELS = 10_000_000
ORIENTATION = 0x0112
# What service.scaled_decoding states of a picture three times larger than needed or more, in
# grey levels: its mean difference, and the largest of any value.
MEAN, LARGEST = 1.0, 20


@functools.cache
def photo() -> Image.Image:
    """Of 1281 x 855 pixels: of the last ones a reduction keeps but a part."""
    path = Path(sklearn.datasets.__file__).parent / "images/flower.jpg"
    return Image.open(path).resize((1281, 855), Image.Resampling.BICUBIC)


def jpeg(**options: Any) -> bytes:
    return encoded(photo(), "JPEG", quality=90, **options)


def spec(height: int = 96, width: int = 120, color: str = "RGB", **changes: Any) -> ImageInput:
    return image_input(height, width, color, **changes)


def levels(data: bytes, expected: ImageInput) -> np.ndarray:
    """How far the scaled tensor is from the exact one."""
    exact = image_tensor(data, expected, MAX_PIXELS)
    scaled = image_tensor(data, expected, MAX_PIXELS, scaled=True)
    assert (scaled.shape, scaled.dtype) == (exact.shape, exact.dtype)
    difference: np.ndarray = np.abs(scaled.astype(int) - exact.astype(int))
    return difference


def assert_near(found: np.ndarray) -> None:
    assert 0 < found.mean() < MEAN, "decoded smaller, and near"
    assert found.max() <= LARGEST


@pytest.mark.parametrize("resize_filter", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("side", [140, 70, 32])
def test_a_large_photograph_stays_near(resize_filter: str, side: int) -> None:
    assert_near(levels(jpeg(), spec(side, side, resize_filter=resize_filter)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_that_is_turned_stays_near_with_the_border_in_its_place(
    orientation: int,
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert_near(levels(jpeg(exif=exif), spec()))


def test_the_bound_sees_a_border_out_of_its_place() -> None:
    """What the last test is for: the same, but the part of a last pixel is not regarded."""
    image = Image.open(io.BytesIO(jpeg()))
    image.draft("RGB", (330, 220))
    assert image.size != (1281 // 2, 855 // 2), "pixels that are there in part"
    stretched = np.asarray(image.resize((40, 30), Image.Resampling.BILINEAR), dtype=int)
    exact = image_tensor(jpeg(), spec(30, 40, layout="NHWC"), MAX_PIXELS)
    near = levels(jpeg(), spec(30, 40)).mean()
    assert np.abs(stretched - exact).mean() > 1.2 * near


@pytest.mark.parametrize("crop_fraction", [0.875, 1.0])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_crop_is_the_same_part_of_the_photograph(crop_fraction: float, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    assert_near(levels(jpeg(exif=exif), spec(101, 100, crop_fraction=crop_fraction)))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_grey_is_the_luminance_of_the_file(layout: str) -> None:
    assert_near(levels(jpeg(), spec(64, 64, "L", layout=layout)))


@pytest.mark.parametrize("kind", ["grey", "print colors", "progressive", "two pictures"])
def test_jpegs_of_every_kind_stay_near(kind: str) -> None:
    data = {
        "grey": lambda: encoded(photo().convert("L"), "JPEG", quality=90),
        "print colors": lambda: encoded(photo().convert("CMYK"), "JPEG", quality=90),
        "progressive": lambda: jpeg(progressive=True),
        "two pictures": lambda: encoded(
            photo(), "MPO", quality=90, save_all=True, append_images=[photo()]
        ),
    }[kind]()
    assert_near(levels(data, spec()))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (jpeg, spec(143, 100)),
        (jpeg, spec(100, 214)),
        (jpeg, spec(64, 64, resize_filter="nearest")),
        (jpeg, spec(64, 64, resize_filter="box")),
        (lambda: encoded(photo(), "PNG"), spec(64, 64)),
        (lambda: encoded(photo(), "WEBP"), spec(64, 64)),
        (lambda: encoded(photo().crop((0, 0, 64, 64)), "JPEG"), spec(224, 224)),
    ],
    ids=["not high enough", "not wide enough", "nearest", "box", "PNG", "WebP", "small"],
)
def test_everything_else_stays_exact(data: Any, expected: ImageInput) -> None:
    assert levels(data(), expected).max() == 0


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_truncated_photograph_is_refused(part: float) -> None:
    whole = jpeg()
    with pytest.raises(InvalidImage, match="the JPEG image is truncated or damaged"):
        image_tensor(whole[: int(len(whole) * part)], spec(64, 64), MAX_PIXELS, scaled=True)


def test_exif_that_cannot_be_read_counts_for_as_little_as_without_scaling() -> None:
    assert_near(levels(jpeg(exif=b"Exif\0\0damaged!"), spec(64, 64)))
