"""A file that is nothing but structure is refused before it has cost anybody time."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from service.errors import InvalidImage
from service.images.preprocessing import image_tensor
from tests.service.pictures import encoded, image_input, noise

MEBIBYTE = 2**20
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = encoded(Image.new("L", (16, 16), 7), "JPEG")
ROWS = zlib.compress(bytes(17 * 16))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*before: bytes) -> bytes:
    """A picture of 16 x 16 grey pixels, and what stands before them."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0))
    return PNG + head + b"".join(before) + chunk(b"IDAT", ROWS) + chunk(b"IEND", b"")


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg(before: bytes) -> bytes:
    return JPEG[:2] + before + JPEG[2:]


def profile() -> bytes:
    return chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(MEBIBYTE - 10), 9))


# Each took from one to forty seconds of 16 MiB; of a twelfth of that it is still plain to see.
FLOODS: dict[str, Callable[[], bytes]] = {
    "profiles": lambda: png(profile() * 1200),
    "private chunks": lambda: png(chunk(b"prVt", b"") * 100_000),
    "texts": lambda: png(chunk(b"tEXt", b"a\0") * 100_000),
    "pieces of pixels": lambda: png(chunk(b"IDAT", b"") * 100_000),
    "fill bytes": lambda: jpeg(b"\xff" * MEBIBYTE),
    "stuffed bytes": lambda: jpeg(b"\xff\0" * MEBIBYTE),
    "segments": lambda: jpeg(segment(0xE5, b"") * 300_000),
    "comments": lambda: jpeg(segment(0xFE, b"") * 300_000),
    "EXIF": lambda: jpeg(segment(0xE1, b"Exif\0\0more") * 100_000),
}


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
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 300, 300, 8, 2, 0, 0, 0))
    small = PNG + head + profile() + b"".join(pieces) + chunk(b"IEND", b"")
    spec = image_input(300, 300, "RGB", layout="NHWC")
    assert image_tensor(small, spec, 90_000).tobytes() == image.tobytes()

    photo = encoded(image, "JPEG", quality=95, icc_profile=bytes(300_000))
    added = segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 3 + segment(0xE4, bytes(60_000)) * 8
    plain = image_tensor(encoded(image, "JPEG", quality=95), spec, 90_000)
    assert np.array_equal(image_tensor(photo[:2] + added + photo[2:], spec, 90_000), plain)
