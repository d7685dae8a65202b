"""An image that export calibrates on becomes the same bytes that training makes of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.precision.images import read_image
from export.sources.original import ImageInput
from training.inputs import ImageInput as TrainingInput
from training.transforms import pixels

SOURCES = {
    "RGB": Image.effect_noise((37, 23), 90).convert("RGB"),
    "L": Image.effect_noise((23, 37), 90),
    "RGBA": Image.merge("RGBA", [Image.effect_noise((31, 31), 90 - step) for step in range(4)]),
    "P": Image.effect_noise((20, 40), 90).convert("P"),
    "I;16": Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 70),
}
SIZES = [(16, 16, "bilinear", None), (24, 12, "bicubic", 0.875), (64, 64, "nearest", 0.5)]


@pytest.mark.parametrize("mode", SOURCES)
@pytest.mark.parametrize("color", ["L", "RGB"])
@pytest.mark.parametrize(("height", "width", "resize_filter", "crop"), SIZES)
def test_an_image_is_the_same_bytes_to_training(
    mode: str,
    color: str,
    height: int,
    width: int,
    resize_filter: str,
    crop: float | None,
    tmp_path: Path,
) -> None:
    path, channels = tmp_path / "image.png", 1 if color == "L" else 3
    SOURCES[mode].save(path)
    size = {"channels": channels, "height": height, "width": width}
    shown = {"color": color, "resize_filter": resize_filter, "crop_fraction": crop, **size}

    actual = read_image(path, ImageInput(**shown))  # type: ignore[arg-type]  # each has its type

    np.testing.assert_array_equal(actual, pixels(path, TrainingInput.model_validate(shown)))


def test_a_turned_photograph_is_turned_upright(tmp_path: Path) -> None:
    image, exif = SOURCES["RGB"], Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    image.save(tmp_path / "plain.png")
    given = ImageInput("RGB", 3, 37, 23)
    told = TrainingInput(color="RGB", channels=3, height=37, width=23)

    turned = read_image(tmp_path / "turned.png", given)

    np.testing.assert_array_equal(turned, pixels(tmp_path / "turned.png", told))
    assert not np.array_equal(turned, read_image(tmp_path / "plain.png", given))
