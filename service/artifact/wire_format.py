"""The wire format of protobuf, as far as it takes to walk through a message without its schema.

A model is read where it lies: what is not asked for, the weights above all, is stepped over.
"""

from collections.abc import Iterator
from typing import NamedTuple

from service.errors import ModelLoadError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
# 64 bits, seven in a byte.
_LONGEST_VARINT = 10
# The runtime's parser keeps 32 bits of a tag: what is beyond would be one field to us and another
# to it.
_LARGEST_TAG = 2**32 - 1


class Span(NamedTuple):
    """One field of bytes: a text, a message or packed numbers.

    Args:
        number: the field's.
        start: of its bytes.
        end: behind them.
    """

    number: int
    start: int
    end: int


def spans(data: bytes, start: int, end: int) -> Iterator[Span]:
    """Yield the fields of bytes of the message between two places; numbers are stepped over.

    Raises:
        ModelLoadError: it is no message.
    """
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        if tag > _LARGEST_TAG:
            raise damaged()
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind == _BYTES:
            length, at = _varint(data, at, end)
            if at + length <= end:
                yield Span(tag >> 3, at, at + length)
            at += length
        else:
            at += _fixed(kind)
        if at > end:
            raise damaged()


def damaged() -> ModelLoadError:
    """Return the error of bytes that are no message."""
    return ModelLoadError("the file is no ONNX model: it ends early, or is no protobuf message")


def _fixed(kind: int) -> int:
    if kind not in _FIXED:  # groups: ONNX has none
        raise damaged()
    return _FIXED[kind]


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(_LONGEST_VARINT):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at
    raise damaged()
