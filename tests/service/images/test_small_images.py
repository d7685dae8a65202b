"""Images that are tensors sooner than a thread could have them."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.artifact.manifest import ImageInput
from service.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from service.images.preprocessing import image_tensor, small_image_tensor
from tests.service.pictures import encoded, grey, image_input, noise

MAX_PIXELS = 1_000_000


def spec(height: int = 2, width: int = 3, color: str = "L", **changes: Any) -> ImageInput:
    return image_input(height, width, color, **changes)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("changes", [{}, {"layout": "NHWC"}, {"crop_fraction": 0.5}])
def test_a_small_image_has_the_same_tensor_where_it_arrives(
    kind: str, changes: dict[str, Any]
) -> None:
    data, expected = encoded(noise(24, 32), kind), spec(16, 20, "RGB", **changes)
    found = small_image_tensor(data, expected, MAX_PIXELS)
    assert found is not None
    assert np.array_equal(found, image_tensor(data, expected, MAX_PIXELS))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (65, 64)), spec()),
        (noise(64, 64), spec()),
        (Image.new("L", (2, 2)), spec(65, 64)),
        (Image.new("L", (2, 2)), spec(33, 33, crop_fraction=0.5)),
        (Image.new("L", (1, 64)), spec(33, 33, crop_fraction=1.0)),
        (Image.new("L", (64, 1)), spec(33, 33, crop_fraction=1.0)),
    ],
    ids=["pixels", "bytes", "input", "covering size", "sliver", "sliver on its side"],
)
def test_what_takes_long_is_not_small(image: Image.Image, expected: ImageInput) -> None:
    data = encoded(image)
    assert small_image_tensor(data, expected, MAX_PIXELS) is None
    assert image_tensor(data, expected, MAX_PIXELS).size


def test_a_small_body_that_is_no_image_is_refused_at_once() -> None:
    for data, error in (
        (b"", InvalidImage),
        (b"hello", UnsupportedImage),
        (grey(0), ImageTooLarge),
    ):
        with pytest.raises(error):
            small_image_tensor(data, spec(), max_pixels=15)
