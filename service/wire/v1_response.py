"""Arrays to the answer of TensorFlow Serving's predict request; no HTTP, no model.

Rows, ``{"predictions": [row, …]}``, or columns, ``{"outputs": tensor}``, as the request is.
Where there are several outputs, a row, or the one tensor, is an object with a member for each.
https://github.com/tensorflow/serving, ``tensorflow_serving/g3doc/api_rest.md``.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from service.artifact.signature import Array, Tensors, TensorSpec
from service.errors import InvalidRequest, OutputNotFinite

# The names by which TensorFlow Serving knows outputs whose bytes are no text.
_BYTES_SUFFIX = "_bytes"


def write_v1_response(rows: int | None, specs: Sequence[TensorSpec], outputs: Tensors) -> bytes:
    """Return the body of an answer.

    Args:
        rows: how many instances the request has, or None where it has columns.
        specs: of the outputs.
        outputs: by name.

    Raises:
        OutputNotFinite: a value is NaN or infinite, which JSON cannot carry.
        InvalidRequest: rows were asked for, and an output does not have one for each instance.
    """
    columns = {spec.name: _values(spec, outputs[spec.name]) for spec in specs}
    only = next(iter(columns.values())) if len(columns) == 1 else None
    answer: dict[str, Any]
    if rows is None:
        answer = {"outputs": columns if only is None else only}
    else:
        _check_rows(rows, outputs)
        parts = zip(*columns.values(), strict=True)
        objects = [dict(zip(columns, row, strict=True)) for row in parts]
        answer = {"predictions": objects if only is None else only}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _check_rows(rows: int, outputs: Tensors) -> None:
    for name, array in outputs.items():
        if not array.ndim or len(array) != rows:
            raise InvalidRequest(
                f'output {name!r} does not have a row for each instance: ask with "inputs"'
            )


def _values(spec: TensorSpec, array: Array) -> Any:
    if array.dtype.kind == "O":
        return _encoded(array.tolist(), as_bytes=spec.name.endswith(_BYTES_SUFFIX))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise OutputNotFinite(f"output {spec.name!r} holds NaN or infinity")
    # The writer takes arrays of one dimension or more, and numpy's numbers.
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _encoded(value: Any, *, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_encoded(item, as_bytes=as_bytes) for item in value]
    return {"b64": base64.b64encode(value.encode()).decode()} if as_bytes else value
