"""Zip archives as a bad disk, or a bad person, leaves them."""

import zipfile
from collections.abc import Callable
from pathlib import Path

LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"
LOCAL_NAME = 30  # bytes from the start of an entry
FLAGS, METHOD = (6, 8), (8, 10)  # where they stand, locally and centrally
UNKNOWN_METHOD = 97


def garbled(path: Path) -> Path:
    """Every entry is compressed, and none can be decompressed."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            archive.writestr(name, data + bytes(64))
        entries = archive.infolist()
    content = bytearray(path.read_bytes())
    for entry in entries:
        start = entry.header_offset + LOCAL_NAME + len(entry.filename.encode())
        content[start : start + entry.compress_size] = b"\xff" * entry.compress_size
    path.write_bytes(content)
    return path


def encrypted(path: Path) -> Path:
    """Every entry says that it is encrypted."""
    return _marked(path, FLAGS, 1)


def packed_otherwise(path: Path) -> Path:
    """Every entry is compressed by a method that nobody knows."""
    return _marked(path, METHOD, UNKNOWN_METHOD)


def _marked(path: Path, offsets: tuple[int, int], mark: int) -> Path:
    data = bytearray(path.read_bytes())
    for signature, offset in zip((LOCAL, CENTRAL), offsets, strict=True):
        start = data.find(signature)
        while start >= 0:
            data[start + offset] |= mark
            start = data.find(signature, start + 1)
    path.write_bytes(data)
    return path


DAMAGES: tuple[Callable[[Path], Path], ...] = (garbled, encrypted, packed_otherwise)
