"""Arrays as bytes and back: Triton's binary tensor data extension.

Little-endian, row-major, nothing between the elements; an element of BYTES follows its length,
four bytes. https://github.com/triton-inference-server/server,
``docs/protocol/extension_binary_data.md``. The one module that needs numpy.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldserve_client.errors import InvalidAnswer, InvalidCall

Array = NDArray[Any]

_LENGTH = struct.Struct("<I")

# The protocol's words, and how numpy writes the same on the wire.
_WIRE: Mapping[str, str] = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_DATATYPES = {np.dtype(wire): datatype for datatype, wire in _WIRE.items()}
_TEXTS = "OU"  # numpy's kinds of arrays of objects and of str


def datatype_of(name: str, array: Array) -> str:
    """Return the protocol's word for the elements of an input.

    Args:
        name: of the input, for the messages.
        array: the input.

    Raises:
        InvalidCall: it is no array, or the protocol has no word for its elements.
    """
    if not isinstance(array, np.ndarray):
        raise InvalidCall(f"input {name!r} is no numpy array but {type(array).__name__}")
    if array.dtype.kind in _TEXTS:
        return "BYTES"
    if array.dtype.kind == "S":  # it would lose them before anyone could see it
        raise InvalidCall(
            f"input {name!r} has the dtype {array.dtype}, which cuts zeros off the end of bytes;"
            " use dtype=object"
        )
    datatype = _DATATYPES.get(array.dtype.newbyteorder("<"))
    if datatype is None:
        raise InvalidCall(f"input {name!r} has the dtype {array.dtype}, which no model takes")
    return datatype


def to_bytes(name: str, array: Array) -> bytes | memoryview:
    """Return the bytes of an input's elements, without a copy where none is needed.

    Raises:
        InvalidCall: an element of an array of objects is neither bytes nor a text.
    """
    if array.dtype.kind in _TEXTS:
        return b"".join(_pieces(name, array))
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data


def to_array(datatype: str, shape: Sequence[int], data: memoryview) -> Array:
    """Return an output, which is the caller's own: a copy, writable, of the machine's byte order.

    Raises:
        InvalidAnswer: there are more or fewer bytes than elements.
    """
    if datatype == "BYTES":
        return _elements(math.prod(shape), data).reshape(shape)
    if datatype not in _WIRE:
        raise InvalidAnswer(f"the answer has a tensor of the unknown datatype {datatype!r}")
    wire = np.dtype(_WIRE[datatype])
    size = math.prod(shape) * wire.itemsize
    if size != len(data):
        raise InvalidAnswer(f"{len(data)} bytes came for {list(shape)} of {datatype}, not {size}")
    return np.frombuffer(data, wire).reshape(shape).astype(wire.newbyteorder("="))


def _pieces(name: str, array: Array) -> Iterator[bytes]:
    for element in array.ravel().tolist():
        if not isinstance(element, str | bytes):
            kind = type(element).__name__
            raise InvalidCall(f"input {name!r} holds {kind}, which is neither bytes nor a text")
        text = element.encode() if isinstance(element, str) else element
        yield _LENGTH.pack(len(text))
        yield text


def _elements(count: int, data: memoryview) -> Array:
    """Return an array of bytes objects."""
    found = np.empty(count, np.object_)
    start = 0
    for i in range(count):
        begin = start + _LENGTH.size
        if begin > len(data):
            raise InvalidAnswer(f"{i} elements of BYTES came, not {count}")
        start = begin + _LENGTH.unpack_from(data, start)[0]
        if start > len(data):
            raise InvalidAnswer(f"element {i} of BYTES ends early")
        found[i] = bytes(data[begin:start])
    if start != len(data):
        raise InvalidAnswer(f"{len(data) - start} bytes came behind the last element of BYTES")
    return found
