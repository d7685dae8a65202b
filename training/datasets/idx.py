"""The IDX format of MNIST and its kin: big-endian header, then bytes; packed with gzip or not.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", file formats.
"""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.datasets.samples import DatasetError

_UNSIGNED_BYTE = 0x08
_MOST_BYTES = 2**31  # ten times the largest set of that family (EMNIST); more is a broken header


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read one file of unsigned bytes.

    Args:
        path: The file; a name that ends in ``.gz`` is unpacked on the way.
        dimensions: How many axes it must have: 3 for images, 1 for labels.

    Raises:
        DatasetError: If magic number, dimensions or size are not what they must be.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _parse(file, dimensions)
    except (DatasetError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: {error}") from error


def _parse(file: _Readable, dimensions: int) -> NDArray[np.uint8]:
    header = file.read(4 + 4 * dimensions)
    expected = bytes((0, 0, _UNSIGNED_BYTE, dimensions))
    if header[:4] != expected:
        raise DatasetError(f"magic number {header[:4].hex()}, expected {expected.hex()}")
    if len(header) != 4 + 4 * dimensions:
        raise DatasetError("ends within its header")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    size = int(np.prod(shape, dtype=object))
    if size > _MOST_BYTES:
        raise DatasetError(f"claims {size} bytes of data {shape}")
    content = file.read(size + 1)
    if len(content) != size:
        found = "more" if len(content) > size else str(len(content))
        raise DatasetError(f"{shape} needs {size} bytes of data, found {found}")
    return np.frombuffer(bytearray(content), dtype=np.uint8).reshape(shape)  # writable
