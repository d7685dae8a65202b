from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from training.inputs import ImageInput
from training.transforms import evaluation


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> BytesIO:
    file = BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    array = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(array.squeeze(axis=2) if channels == 1 else array, mode)


def an_input(color: Any = "RGB", height: int = 6, width: int = 9, **options: Any) -> ImageInput:
    channels = 3 if color == "RGB" else 1
    return ImageInput(color=color, channels=channels, height=height, width=width, **options)


def test_an_image_of_the_right_size_keeps_its_raw_values() -> None:
    image = noise(9, 6)

    array = evaluation(encoded(image), an_input())

    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    assert np.array_equal(array, np.asarray(image, dtype=np.float32).transpose(2, 0, 1))


def test_a_file_is_read_from_its_path_too(tmp_path: Path) -> None:
    noise(9, 6).save(tmp_path / "i.webp", lossless=True)

    assert np.array_equal(
        evaluation(tmp_path / "i.webp", an_input()), evaluation(encoded(noise(9, 6)), an_input())
    )


def test_a_grey_model_sees_pillow_s_luminance() -> None:
    array = evaluation(encoded(noise(9, 6)), an_input("L"))

    assert np.array_equal(array[0], np.asarray(noise(9, 6).convert("L"), dtype=np.float32))


def test_the_orientation_of_a_photograph_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera turned: the shown picture is turned by 90 degrees
    image = noise(6, 9)

    array = evaluation(encoded(image, exif=exif.tobytes()), an_input())

    turned = np.rot90(np.asarray(image, dtype=np.float32), -1)
    assert np.array_equal(array, turned.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_black(mode: str) -> None:
    image = noise(9, 6, mode)
    image.putalpha(0)

    assert evaluation(encoded(image), an_input()).max() == 0


def test_half_transparency_halves_the_light() -> None:
    image = Image.new("RGBA", (9, 6), (200, 100, 50, 128))

    assert evaluation(encoded(image), an_input())[:, 0, 0].tolist() == [100, 50, 25]


@pytest.mark.parametrize("name", ["nearest", "box", "bilinear", "bicubic", "lanczos"])
def test_without_a_crop_the_image_is_stretched_by_the_named_filter(name: Any) -> None:
    filtered = noise(31, 17).resize((9, 6), getattr(Image.Resampling, name.upper()))

    array = evaluation(encoded(noise(31, 17)), an_input(resize_filter=name))

    assert np.array_equal(array, np.asarray(filtered, dtype=np.float32).transpose(2, 0, 1))


def test_with_a_crop_the_aspect_is_kept_and_the_middle_cut_out() -> None:
    image = noise(40, 20)
    # 224/256 of ImageNet at 1/32 size: the short side becomes 8, then the middle 7x7
    resized = image.resize((16, 8), Image.Resampling.BILINEAR).crop((4, 0, 11, 7))

    array = evaluation(encoded(image), an_input(height=7, width=7, crop_fraction=0.875))

    assert np.array_equal(array, np.asarray(resized, dtype=np.float32).transpose(2, 0, 1))


@pytest.mark.parametrize("size", [(1, 50), (50, 1), (3, 3), (8, 7)])
def test_a_crop_gives_the_asked_shape_whatever_the_image(size: tuple[int, int]) -> None:
    array = evaluation(encoded(noise(*size)), an_input(height=5, width=7, crop_fraction=0.9))

    assert array.shape == (3, 5, 7)


def test_an_image_so_thin_that_filling_the_crop_would_take_gigabytes_is_refused() -> None:
    expected = an_input(height=224, width=224, crop_fraction=0.875)

    with pytest.raises(ValueError, match=r"enlarged to 256 x 2560000 pixels"):
        evaluation(encoded(noise(1, 10_000)), expected)
    assert evaluation(encoded(noise(1, 1_000)), expected).shape == (3, 224, 224)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(UnidentifiedImageError):
        evaluation(BytesIO(b"text"), an_input())
