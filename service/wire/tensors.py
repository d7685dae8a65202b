"""The protocol's JSON tensors to arrays and back; no HTTP, no model.

Everything is checked in the order of its cost: names, datatype, rank and sizes against the
signature, the number of values against the shape, their types, and only then is an array
made, of the size of the values that really came. So a shape that lies allocates nothing.

https://github.com/kserve/open-inference-protocol, ``specification/protocol/inference_rest.md``.
"""

import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson

from service.artifact.signature import Array, TensorSpec
from service.errors import InvalidTensor, OutputNotFinite

# The integers that float64 holds without loss; JSON has one kind of number.
_EXACT_IN_FLOAT64 = 2**53

# No values vouch for the other sizes of an empty tensor, and a model may make outputs of them.
_LARGEST_EMPTY = 2**20

# How struct packs each kind of number: it rounds as numpy does and, other than numpy, refuses
# what does not fit or becomes infinite, in a third of the time.
_LETTERS = {
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}

# Values converted at a time: between two chunks, some milliseconds, other threads have a turn.
_CHUNK = 2**16

_TEXTS: frozenset[type] = frozenset({str})
_TRUTHS: frozenset[type] = frozenset({bool, int})
_NUMBERS: frozenset[type] = frozenset({int, float})


def decode_tensor(field: str, tensor: dict[str, Any], spec: TensorSpec) -> Array:
    """Return the array of one input of a request, read-only.

    Args:
        field: where the tensor stands in the request, for the messages.
        tensor: the JSON object with ``shape``, ``datatype`` and ``data``.
        spec: the model's input of that name.

    Raises:
        InvalidTensor: the tensor contradicts itself or the signature; names the field.
    """
    shape = stated_shape(field, tensor, spec)
    return decode_values(f"{field}.data", tensor.get("data"), shape, spec)


def decode_values(field: str, data: object, shape: tuple[int, ...], spec: TensorSpec) -> Array:
    """Return the array of a shape that fits ``spec``, read-only.

    Args:
        field: where the values stand in the request, for the messages.
        data: nested or flat, row-major.
        shape: the array's.
        spec: the model's input.

    Raises:
        InvalidTensor: there are more or fewer values, or others than the datatype has.
    """
    values = flat_values(field, data, shape)
    if spec.datatype == "BYTES":
        return _texts(field, values).reshape(shape)
    if len(values) <= _CHUNK:
        return np.ndarray(shape, spec.dtype, _packed(field, values, spec))
    chunks = (values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK))
    return np.ndarray(shape, spec.dtype, b"".join([_packed(field, each, spec) for each in chunks]))


def stated_shape(field: str, tensor: dict[str, Any], spec: TensorSpec) -> tuple[int, ...]:
    """Return the shape that a tensor states, once it and the datatype fit the signature.

    Raises:
        InvalidTensor: they do not; names the field.
    """
    if tensor.get("datatype") != spec.datatype:
        raise InvalidTensor(
            f"{field}.datatype must be {spec.datatype} for {spec.name!r},"
            f" not {brief(tensor.get('datatype'))}"
        )
    shape = tensor.get("shape")
    if not isinstance(shape, list) or len(shape) != len(spec.shape):
        raise InvalidTensor(
            f"{field}.shape must be a list of {len(spec.shape)} sizes like {list(spec.wire_shape)}"
        )
    for i, size in enumerate(shape):
        if type(size) is not int or size < 0:
            raise InvalidTensor(
                f"{field}.shape[{i}] must be a size of 0 or more, not {brief(size)}"
            )
        expected = spec.wire_shape[i]
        if size != expected and expected >= 0:
            raise InvalidTensor(f"{field}.shape[{i}] must be {expected}, not {size}")
    if 0 in shape and math.prod(max(size, 1) for size in shape) > _LARGEST_EMPTY:
        raise InvalidTensor(f"{field}.shape is empty and too large beside its 0")
    return tuple(shape)


def flat_values(field: str, data: object, shape: tuple[int, ...]) -> list[Any]:
    """Return the values of nested or flat data in row-major order, as many as the shape has.

    Raises:
        InvalidTensor: there are more or fewer, or the nesting is not the shape's.
    """
    if not isinstance(data, list):
        raise InvalidTensor(f"{field} must be a list of values")
    flat = _flatten(field, data, shape) if data and type(data[0]) is list else data
    expected = math.prod(shape)
    if len(flat) != expected:
        raise InvalidTensor(f"{field} has {len(flat)} values, the shape asks for {expected}")
    return flat


def encode_values(spec: TensorSpec, array: Array) -> bytes:
    """Return the JSON list of an output's values, flat and row-major.

    Raises:
        OutputNotFinite: a value is NaN or infinite: JSON has no word for it, and a client
            that reads ``null`` or ``NaN`` breaks far from the cause.
    """
    if spec.datatype == "BYTES":
        return orjson.dumps(array.ravel().tolist())
    data = orjson.dumps(array.ravel(), option=orjson.OPT_SERIALIZE_NUMPY)
    # There are digits and truths; null is what the writer makes of what is not finite.
    if b"n" in data:
        raise OutputNotFinite(f"output {spec.name!r} holds NaN or infinity")
    return data


def brief(value: object) -> str:
    """Return a value of a request for a message, cut to a length that a log can bear."""
    if isinstance(value, str):  # cut first: of a long text the whole would be written anew
        value = value[:60]
    text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."


def _flatten(field: str, data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    level = data
    for depth, size in enumerate(shape[1:], start=1):
        for item in level:
            if type(item) is not list or len(item) != size:
                raise InvalidTensor(f"{field} at depth {depth} must be lists of {size}")
        level = list(chain.from_iterable(level))
    return level


def _texts(field: str, values: list[Any]) -> Array:
    _check_types(field, values, _TEXTS, "BYTES")
    return np.array(values, dtype=np.object_)


def _packed(field: str, values: list[Any], spec: TensorSpec) -> bytes:
    """Return the bytes of the values; every one must be one that the datatype holds."""
    if spec.datatype == "BOOL":
        return _packed_truths(field, values)
    types = _check_types(field, values, _NUMBERS, spec.datatype)
    if float in types and spec.dtype.kind != "f":
        values = _whole(field, values, spec)
    try:
        # The sign asks for sizes and checks that are the same on every machine.
        return struct.pack(f"={len(values)}{_LETTERS[spec.datatype]}", *values)
    except (OverflowError, struct.error):
        raise InvalidTensor(f"{field} holds a value beyond {spec.datatype}") from None


def _packed_truths(field: str, values: list[Any]) -> bytes:
    _check_types(field, values, _TRUTHS, "BOOL")
    if not set(values) <= {0, 1}:
        raise InvalidTensor(f"{field} holds a number that is neither 0 nor 1")
    return bytes(values)


def _whole(field: str, values: Sequence[Any], spec: TensorSpec) -> list[int]:
    if not all(_is_whole(value) for value in values):
        raise InvalidTensor(f"{field} holds a fraction, not {spec.datatype} values")
    return [int(value) for value in values]


def _is_whole(value: float) -> bool:
    return type(value) is int or (value.is_integer() and abs(value) <= _EXACT_IN_FLOAT64)


def _check_types(
    field: str, values: list[Any], accepted: frozenset[type], datatype: str
) -> set[type]:
    types = set(map(type, values))
    if not types <= accepted:
        raise InvalidTensor(f"{field} holds {_odd(types - accepted)}, not {datatype} values")
    return types


def _odd(types: set[type]) -> str:
    names = {
        str: "a string",
        bool: "a boolean",
        type(None): "null",
        list: "a list",
        dict: "an object",
    }
    return names.get(min(types, key=lambda kind: kind.__name__), "a number")
