"""The protocol's JSON tensors to arrays and back; no HTTP, no model.

Everything is checked in the order of its cost: names, datatype, rank and sizes against the
signature, the number of values against the shape, their types, and only then is an array
made, of the size of the values that really came. So a shape that lies allocates nothing.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from service.errors import InvalidTensor, OutputNotFinite
from service.signature import Array, TensorSpec

# The integers that float64 holds without loss; JSON has one kind of number.
_EXACT_IN_FLOAT64 = 2**53

# No values vouch for the other sizes of an empty tensor, and a model may make outputs of them.
_LARGEST_EMPTY = 2**20

# Values converted at a time: between two chunks, some milliseconds, other threads have a turn.
_CHUNK = 2**16

_ACCEPTED: dict[str, frozenset[type]] = {
    "BOOL": frozenset({bool, int}),
    "BYTES": frozenset({str}),
}
_NUMBERS: frozenset[type] = frozenset({int, float})


def decode_tensor(field: str, tensor: dict[str, Any], spec: TensorSpec) -> Array:
    """Return the array of one input of a request.

    Args:
        field: where the tensor stands in the request, for the messages.
        tensor: the JSON object with ``shape``, ``datatype`` and ``data``.
        spec: the model's input of that name.

    Raises:
        InvalidTensor: the tensor contradicts itself or the signature; names the field.
    """
    if tensor.get("datatype") != spec.datatype:
        raise InvalidTensor(
            f"{field}.datatype must be {spec.datatype} for {spec.name!r},"
            f" not {brief(tensor.get('datatype'))}"
        )
    shape = _shape(f"{field}.shape", tensor.get("shape"), spec)
    values = _values(f"{field}.data", tensor.get("data"), shape)
    parts = (values[i : i + _CHUNK] for i in range(0, max(len(values), 1), _CHUNK))
    return np.concatenate([_array(f"{field}.data", part, spec) for part in parts]).reshape(shape)


def encode_tensor(spec: TensorSpec, array: Array) -> dict[str, Any]:
    """Return the JSON object of one output; ``data`` is flat, row-major, an array or a list.

    Raises:
        OutputNotFinite: a value is NaN or infinite: JSON has no word for it, and a client
            that reads ``null`` or ``NaN`` breaks far from the cause.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise OutputNotFinite(f"output {spec.name!r} holds NaN or infinity")
    flat = np.ascontiguousarray(array).reshape(-1)
    return {
        "name": spec.name,
        "datatype": spec.datatype,
        "shape": list(array.shape),
        "data": flat.tolist() if array.dtype.kind == "O" else flat,
    }


def brief(value: object) -> str:
    """Return a value of a request for a message, cut to a length that a log can bear."""
    text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."


def _shape(field: str, shape: object, spec: TensorSpec) -> tuple[int, ...]:
    if not isinstance(shape, list) or len(shape) != len(spec.shape):
        raise InvalidTensor(
            f"{field} must be a list of {len(spec.shape)} sizes like {list(spec.wire_shape)}"
        )
    for i, (size, dim) in enumerate(zip(shape, spec.shape, strict=True)):
        if type(size) is not int or size < 0:
            raise InvalidTensor(f"{field}[{i}] must be a size of 0 or more, not {brief(size)}")
        if isinstance(dim, int) and size != dim:
            raise InvalidTensor(f"{field}[{i}] must be {dim}, not {size}")
    if math.prod(shape) == 0 and math.prod(max(size, 1) for size in shape) > _LARGEST_EMPTY:
        raise InvalidTensor(f"{field} is empty and too large beside its 0")
    return tuple(shape)


def _values(field: str, data: object, shape: tuple[int, ...]) -> list[Any]:
    """Return the values of nested or flat data in row-major order."""
    if not isinstance(data, list):
        raise InvalidTensor(f"{field} must be a list of values")
    flat = _flatten(field, data, shape) if data and isinstance(data[0], list) else data
    expected = math.prod(shape)
    if len(flat) != expected:
        raise InvalidTensor(f"{field} has {len(flat)} values, the shape asks for {expected}")
    return flat


def _flatten(field: str, data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    level = data
    for depth, size in enumerate(shape[1:], start=1):
        if any(type(item) is not list or len(item) != size for item in level):
            raise InvalidTensor(f"{field} at depth {depth} must be lists of {size}")
        level = list(chain.from_iterable(level))
    return level


def _array(field: str, values: list[Any], spec: TensorSpec) -> Array:
    """Make the array; every value must be one that the datatype holds."""
    types = set(map(type, values))
    accepted = _ACCEPTED.get(spec.datatype, _NUMBERS)
    if not types <= accepted:
        raise InvalidTensor(f"{field} holds {_odd(types - accepted)}, not {spec.datatype} values")
    kind = spec.dtype.kind
    if kind == "f":
        return _floats(field, values, spec)
    if kind in "iu":
        return _integers(field, values, spec, mixed=float in types)
    if kind == "b" and not set(values) <= {0, 1}:
        raise InvalidTensor(f"{field} holds a number that is neither 0 nor 1")
    return np.array(values, dtype=spec.dtype)


def _floats(field: str, values: list[Any], spec: TensorSpec) -> Array:
    try:
        wide = np.array(values, dtype=np.float64)
    except OverflowError:
        raise InvalidTensor(f"{field} holds a value beyond {spec.datatype}") from None
    with np.errstate(over="ignore"):  # what overflows is refused in the next line
        array = wide.astype(spec.dtype)
    if not np.isfinite(array).all():
        raise InvalidTensor(f"{field} holds a value beyond {spec.datatype}")
    return array


def _integers(field: str, values: Sequence[Any], spec: TensorSpec, *, mixed: bool) -> Array:
    whole: Iterable[int] = values
    if mixed:
        if not all(_is_whole(value) for value in values):
            raise InvalidTensor(f"{field} holds a fraction, not {spec.datatype} values")
        whole = [int(value) for value in values]
    try:
        return np.array(whole, dtype=spec.dtype)
    except OverflowError:
        raise InvalidTensor(f"{field} holds a value beyond {spec.datatype}") from None


def _is_whole(value: float) -> bool:
    return type(value) is int or (value.is_integer() and abs(value) <= _EXACT_IN_FLOAT64)


def _odd(types: set[type]) -> str:
    names = {
        str: "a string",
        bool: "a boolean",
        type(None): "null",
        list: "a list",
        dict: "an object",
    }
    return names.get(min(types, key=lambda kind: kind.__name__), "a number")
