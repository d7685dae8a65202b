"""Write the published batches' structure as Python 2 wrote it: no library does that any more."""

import struct
from typing import Any

import numpy as np


def dumps(batch: dict[bytes, Any]) -> bytes:
    """A protocol 2 pickle of a dict of byte strings, lists, integers and uint8 arrays."""
    writer = _Writer()
    items = b"".join(writer.string(key) + writer.value(value) for key, value in batch.items())
    return b"\x80\x02}" + writer.put() + b"(" + items + b"u."


class _Writer:
    def __init__(self) -> None:
        self._puts = 0

    def put(self) -> bytes:
        self._puts += 1
        small = self._puts < 256
        return b"q" + bytes([self._puts]) if small else b"r" + struct.pack("<I", self._puts)

    def value(self, value: Any) -> bytes:
        if isinstance(value, bytes):
            return self.string(value)
        if isinstance(value, int):
            return _integer(value)
        if isinstance(value, np.ndarray):
            return self._array(value)
        return b"]" + self.put() + b"(" + b"".join(map(self.value, value)) + b"e"

    def string(self, text: bytes) -> bytes:
        short = len(text) < 256
        length = b"U" + bytes([len(text)]) if short else b"T" + struct.pack("<i", len(text))
        return length + text + self.put()

    def _array(self, array: np.ndarray) -> bytes:
        shape = b"".join(map(_integer, array.shape)) + bytes([0x84 + array.ndim])
        return b"".join(
            [
                *(b"cnumpy.core.multiarray\n_reconstruct\n", self.put()),
                *(b"cnumpy\nndarray\n", self.put(), b"K\x00\x85", self.put()),
                *(self.string(b"b"), b"\x87", self.put(), b"R", self.put()),
                *(b"(K\x01", shape, self.put()),
                *(b"cnumpy\ndtype\n", self.put(), self.string(b"u1"), b"K\x00K\x01\x87"),
                *(self.put(), b"R", self.put(), b"(K\x03", self.string(b"|"), b"NNN"),
                *(_integer(-1), _integer(-1), b"K\x00t", self.put(), b"b\x89"),
                *(self.string(array.tobytes()), b"t", self.put(), b"b"),
            ]
        )


def _integer(number: int) -> bytes:
    if 0 <= number < 256:
        return b"K" + bytes([number])
    if 0 <= number < 65536:
        return b"M" + struct.pack("<H", number)
    return b"J" + struct.pack("<i", number)
