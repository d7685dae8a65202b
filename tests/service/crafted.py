"""Image files that no honest program writes."""

import struct
import zlib
from collections.abc import Callable, Mapping

from PIL import Image

from tests.service.pictures import encoded

MEBIBYTE = 2**20
PNG = b"\x89PNG\r\n\x1a\n"
ROWS = zlib.compress(bytes(17 * 16))  # of the pictures below
JPEG = encoded(Image.new("L", (16, 16), 7), "JPEG")


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int = 8, color: int = 0) -> bytes:
    """What a PNG file says of itself; color 0 is grey, 2 is RGB."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))


def png(*before: bytes, size: tuple[int, int] = (16, 16), rows: bytes = ROWS) -> bytes:
    """A grey picture, and what stands before its pixels."""
    pixels = chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return PNG + header(*size) + b"".join(before) + pixels


def segment(marker: int, data: bytes) -> bytes:
    """A part of a JPEG file's head."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg(before: bytes, picture: bytes = JPEG) -> bytes:
    """A picture, and what stands before all else in it."""
    return picture[:2] + before + picture[2:]


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG file that says that it has so many pixels."""
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


def scanned(count: int, size: tuple[int, int] = (16, 16)) -> bytes:
    """A progressive JPEG whose last scan is repeated, as a file made to be slow does."""
    image = encoded(Image.new("L", size, 7), "JPEG", progressive=True)
    first, last, end = image.index(b"\xff\xda"), image.rindex(b"\xff\xda"), len(image) - 2
    repeats = count - image.count(b"\xff\xda", first)
    return image[:end] + image[last:end] * repeats + image[end:]


def profile() -> bytes:
    """A color profile of a kilobyte that unpacks to a megabyte."""
    return chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(MEBIBYTE - 10), 9))


def exif(entries: int, size: int) -> bytes:
    """EXIF whose every entry claims the same bytes, in as many segments as they need."""
    table = b"".join(struct.pack("<HHLL", 1000 + i, 1, size, 8) for i in range(entries))
    body = b"II*\0\x08\0\0\0" + struct.pack("<H", entries) + table
    body += bytes(max(0, size + 8 - len(body)))
    pieces = [body[at : at + 60_000] for at in range(0, len(body), 60_000)]
    return b"".join(segment(0xE1, b"Exif\0\0" + piece) for piece in pieces)


def riff(kind: bytes, data: bytes) -> bytes:
    """A chunk of a WebP file."""
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def animation(width: int, height: int, frames: int) -> bytes:
    """A WebP animation on a canvas of any size, of frames of 2 x 2 pixels."""

    def three(value: int) -> bytes:
        return struct.pack("<I", value)[:3]

    frame = encoded(Image.new("RGB", (2, 2), (7, 7, 7)), "WEBP", lossless=True)[12:]
    place = three(0) * 2 + three(1) * 2 + three(10) + b"\0"
    body = b"WEBP" + riff(b"VP8X", b"\x02\0\0\0" + three(width - 1) + three(height - 1))
    body += riff(b"ANIM", bytes(6)) + riff(b"ANMF", place + frame) * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def lossless_of(width: int, height: int) -> bytes:
    """A WebP file that says that it has so many pixels, 16384 a side at most."""
    data = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(20)
    body = b"WEBP" + riff(b"VP8L", data)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def lossy_of(width: int, height: int) -> bytes:
    """The same of the other kind, 16383 a side at most."""
    data = b"\x10\x02\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(20)
    body = b"WEBP" + riff(b"VP8 ", data)
    return b"RIFF" + struct.pack("<I", len(body)) + body


# Of 16 MiB each took from one to forty seconds; of a tenth of that it is plain to see.
FLOODS: Mapping[str, Callable[[], bytes]] = {
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
