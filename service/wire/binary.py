"""Tensors as bytes: Triton's binary tensor data extension.

Little-endian, row-major, nothing between the elements; an element of BYTES follows its length,
four bytes. https://github.com/triton-inference-server/server,
``docs/protocol/extension_binary_data.md``.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from service.artifact.signature import Array, TensorSpec
from service.errors import InvalidRequest, InvalidTensor
from service.wire.tensors import brief, stated_shape

_LENGTH = struct.Struct("<I")


def split_body(
    sizes: Iterable[tuple[str, object]], body: bytes | memoryview, offset: int
) -> list[memoryview | None]:
    """Return the bytes of each tensor behind a body's JSON, without a copy.

    Args:
        sizes: where each tensor stands, for the messages, and its ``binary_data_size``, None for
            a tensor without.
        body: the whole body.
        offset: where the JSON ends.

    Raises:
        InvalidTensor: what is stated is no number of bytes, or one of more than there are.
        InvalidRequest: there are bytes that belong to no tensor.
    """
    data: list[memoryview | None] = []
    for field, size in sizes:
        if size is None:
            data.append(None)
            continue
        if type(size) is not int or size < 0:
            raise InvalidTensor(
                f"{field}.parameters.binary_data_size must be a number of bytes, not {brief(size)}"
            )
        if size > len(body) - offset:
            raise InvalidTensor(
                f"{field}.parameters.binary_data_size is {size}, {len(body) - offset} bytes are"
                " left behind the JSON, which ends where Inference-Header-Content-Length says"
            )
        data.append(memoryview(body)[offset : offset + size])
        offset += size
    if offset != len(body):
        raise InvalidRequest(f"the body holds {len(body) - offset} bytes behind its last tensor")
    return data


def decode_binary(field: str, tensor: dict[str, Any], spec: TensorSpec, data: memoryview) -> Array:
    """Return the array of one input: a view of ``data`` where the machine can read it there.

    Args:
        field: where the tensor stands in the request, for the messages.
        tensor: the JSON object with ``shape`` and ``datatype``.
        spec: the model's input of that name.
        data: the bytes of the elements.

    Raises:
        InvalidTensor: it contradicts itself or the signature; names the field.
    """
    return decode_elements(field, stated_shape(field, tensor, spec), spec, data)


def decode_elements(
    field: str, shape: tuple[int, ...], spec: TensorSpec, data: memoryview
) -> Array:
    """Return an array of a shape that fits ``spec``.

    Raises:
        InvalidTensor: there are more or fewer bytes than elements, or one has no meaning.
    """
    if spec.datatype == "BYTES":
        texts = _texts(field, split_elements(field, math.prod(shape), data))
        return np.array(texts, dtype=np.object_).reshape(shape)
    size = math.prod(shape) * spec.dtype.itemsize
    if size != len(data):
        raise InvalidTensor(
            f"{field} has {len(data)} bytes, {list(shape)} of {spec.datatype} are {size}"
        )
    array = array_at(data, 0, shape, spec)
    if spec.datatype == "BOOL" and array.view(np.uint8).max(initial=0) > 1:
        raise InvalidTensor(f"{field} holds a byte that is neither 0 nor 1")
    return array


def array_at(
    data: bytes | memoryview, offset: int, shape: tuple[int, ...], spec: TensorSpec
) -> Array:
    """Return the array that begins at an offset; a view where the machine can read it there."""
    array: Array = np.ndarray(shape, spec.wire_dtype, data, offset)
    return array if array.flags.aligned and array.dtype.isnative else array.astype(spec.dtype)


def split_elements(field: str, count: int, data: memoryview) -> list[bytes]:
    """Return the elements of a BYTES tensor.

    Args:
        field: where the tensor stands in the request, for the messages.
        count: how many there are.
        data: each element behind its length.

    Raises:
        InvalidTensor: there are more or fewer.
    """
    if count * _LENGTH.size > len(data):
        raise InvalidTensor(f"{field} has {len(data)} bytes, too few for {count} elements")
    elements: list[bytes] = []
    start = 0
    for i in range(count):
        end = start + _LENGTH.size
        if end <= len(data):
            end += _LENGTH.unpack_from(data, start)[0]
        if end > len(data):
            raise InvalidTensor(f"{field} ends before its element {i} does")
        elements.append(bytes(data[start + _LENGTH.size : end]))
        start = end
    if start != len(data):
        raise InvalidTensor(f"{field} has {len(data) - start} bytes behind its last element")
    return elements


def encode_binary(spec: TensorSpec, array: Array) -> memoryview:
    """Return the bytes of one output's elements, without a copy where none is needed."""
    if spec.datatype == "BYTES":
        return memoryview(join_elements([text.encode() for text in array.ravel().tolist()]))
    return np.ascontiguousarray(array, spec.wire_dtype).data


def join_elements(elements: Sequence[bytes]) -> bytes:
    """Return each element behind its length."""
    return b"".join(part for element in elements for part in (_LENGTH.pack(len(element)), element))


def _texts(field: str, elements: list[bytes]) -> list[str]:
    texts: list[str] = []
    for i, element in enumerate(elements):
        try:
            texts.append(element.decode())
        except UnicodeDecodeError:
            raise InvalidTensor(f"{field}: element {i} is not UTF-8 text") from None
    return texts
