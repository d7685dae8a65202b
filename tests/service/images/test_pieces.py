"""A file that is nothing but structure is refused before it has cost anybody time."""

import zlib

import numpy as np
import pytest

from service.errors import InvalidImage
from service.images.preprocessing import image_tensor
from tests.service.crafted import FLOODS, PNG, chunk, header, jpeg, profile, segment
from tests.service.pictures import encoded, image_input, noise


@pytest.mark.parametrize("name", FLOODS)
def test_a_file_of_nothing_but_structure_is_refused(name: str) -> None:
    with pytest.raises(InvalidImage, match="more pieces than a picture has"):
        image_tensor(FLOODS[name](), image_input(4, 4, "L"), 1000)


def test_an_honest_file_has_few_pieces() -> None:
    """Chunks of a kilobyte, as small as no writer makes them, and all that a camera adds."""
    image = noise(300, 300)
    rows = np.insert(np.asarray(image).reshape(300, 900), 0, 0, axis=1).astype(np.uint8).tobytes()
    packed = zlib.compress(rows)
    pieces = [chunk(b"IDAT", packed[at : at + 1024]) for at in range(0, len(packed), 1024)]
    small = b"".join([PNG, header(300, 300, color=2), profile(), *pieces, chunk(b"IEND", b"")])
    spec = image_input(300, 300, "RGB", layout="NHWC")
    assert image_tensor(small, spec, 90_000).tobytes() == image.tobytes()

    photo = encoded(image, "JPEG", quality=95, icc_profile=bytes(300_000))
    added = segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 3 + segment(0xE4, bytes(60_000)) * 8
    plain = image_tensor(encoded(image, "JPEG", quality=95), spec, 90_000)
    assert np.array_equal(image_tensor(jpeg(added, photo), spec, 90_000), plain)
