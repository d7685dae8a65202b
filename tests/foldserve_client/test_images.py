"""Pictures in every form in which they are given."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from foldserve_client.errors import InvalidCall
from foldserve_client.images import image_bytes
from tests.service.pictures import encoded, noise


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_go_as_they_are(kind: type[Any]) -> None:
    assert image_bytes(kind(b"\xff\xd8 whatever")) == b"\xff\xd8 whatever"


def test_the_bytes_of_a_file_go_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"whatever")
    assert image_bytes(path) == image_bytes(str(path)) == b"whatever"


def test_a_file_that_is_not_there_is_pythons_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        image_bytes(tmp_path / "nothing.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1"])
def test_the_pixels_of_a_picture_are_the_same_behind_it(mode: str) -> None:
    picture = noise(5, 7).convert(mode)
    found = Image.open(io.BytesIO(image_bytes(picture)))
    assert found.mode == mode
    np.testing.assert_array_equal(np.asarray(found), np.asarray(picture))


def test_the_pixels_of_a_picture_are_not_turned_by_what_its_file_said() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    opened = Image.open(io.BytesIO(encoded(noise(5, 7), "PNG", exif=exif)))
    found = Image.open(io.BytesIO(image_bytes(opened)))
    assert ExifTags.Base.Orientation not in found.getexif()


@pytest.mark.parametrize("given", [None, 7, [1], np.zeros((4, 4), np.uint8)])
def test_what_is_no_picture_is_refused(given: Any) -> None:
    with pytest.raises(InvalidCall, match=type(given).__name__):
        image_bytes(given)
