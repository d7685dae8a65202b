"""TensorFlow Serving's predict request to arrays; no HTTP, no model, only its signature.

Rows, ``{"instances": [row, …]}``, or columns, ``{"inputs": tensor}``. Where there are several
inputs, a row, or the one tensor, is an object with a member for each. Bytes are
``{"b64": "…"}``. KServe's first protocol is the form with rows.
https://github.com/tensorflow/serving, ``tensorflow_serving/g3doc/api_rest.md``.
"""

import base64
import binascii
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from service.artifact.manifest import ImageInput
from service.artifact.signature import Array, Signature, Tensors, TensorSpec
from service.errors import InvalidRequest, InvalidTensor
from service.wire.json_body import read_json
from service.wire.tensors import brief, decode_tensor

_BYTES = "b64"


class V1Request(NamedTuple):
    """A predict request that fits a signature.

    Args:
        rows: how many instances there are, or None where the request has columns.
        inputs: every input of the signature; empty where images came in place of it.
        images: encoded images, where they came in place of pixels.
        timeout_s: of which this protocol has none.
    """

    rows: int | None
    inputs: Tensors
    images: Sequence[bytes] | None
    timeout_s: float | None = None


def read_v1_request(
    body: bytes, signature: Signature, image: ImageInput | None = None
) -> V1Request:
    """Return what a body asks for; blocks while a large one is read.

    A model has one signature: which one ``signature_name`` names makes no difference.

    Args:
        body: JSON.
        signature: the model's.
        image: its image input, if it has one.

    Raises:
        InvalidJSON: the body is none.
        InvalidRequest: it does not have the protocol's form.
        InvalidTensor: an input contradicts itself or the signature.
    """
    document = _document(body)
    field = "inputs" if "inputs" in document else "instances"
    read = _columns if field == "inputs" else _columns_of_rows
    columns = read(document[field], signature)
    _check_names(field, columns.keys(), signature)
    rows = len(document[field]) if field == "instances" else None
    if image is not None and _is_encoded(columns[image.name]):
        return V1Request(rows, {}, _images(field, columns[image.name]))
    tensors = {
        spec.name: _tensor(f"{field}.{spec.name}", columns[spec.name], spec)
        for spec in signature.inputs
    }
    return V1Request(rows, tensors, None)


def _document(body: bytes) -> dict[str, Any]:
    document = read_json(body)
    if not isinstance(document, dict):
        raise InvalidRequest("the request must be a JSON object")
    if ("instances" in document) == ("inputs" in document):
        raise InvalidRequest("the request must have either instances or inputs")
    return document


def _columns_of_rows(instances: object, signature: Signature) -> dict[str, Any]:
    """Return the values of each input, gathered from the instances."""
    if not isinstance(instances, list) or not instances:
        raise InvalidRequest("instances must be a list of one or more")
    names = _names(instances[0])
    if any(_names(instance) != names for instance in instances):
        raise InvalidRequest("instances must all name the same inputs, or none")
    if names is None:
        return {_only_input(signature): instances}
    return {name: [instance[name] for instance in instances] for name in names}


def _columns(inputs: object, signature: Signature) -> dict[str, Any]:
    return (
        inputs if isinstance(inputs, dict) and _names(inputs) else {_only_input(signature): inputs}
    )


def _names(value: object) -> Sequence[str] | None:
    """Return the inputs that an object names; None for a value of an input."""
    return sorted(value) if isinstance(value, dict) and value.keys() != {_BYTES} else None


def _only_input(signature: Signature) -> str:
    if len(signature.inputs) != 1:
        names = ", ".join(repr(spec.name) for spec in signature.inputs)
        raise InvalidRequest(f"the model has several inputs, each must be named: {names}")
    return signature.inputs[0].name


def _check_names(field: str, found: Collection[str], signature: Signature) -> None:
    known = [spec.name for spec in signature.inputs]
    missing = [name for name in known if name not in found]
    if missing:
        raise InvalidRequest(f"{field} lacks {', '.join(map(repr, missing))}")
    for name in found:
        if name not in known:
            raise InvalidRequest(f"{field} names {brief(name)}, which is no input of the model")


def _is_encoded(column: object) -> bool:
    first = column[0] if isinstance(column, list) and column else column
    return isinstance(first, dict)


def _images(field: str, column: Any) -> list[bytes]:
    return [_decoded(field, each) for each in (column if isinstance(column, list) else [column])]


def _decoded(field: str, value: object) -> bytes:
    text = value.get(_BYTES) if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise InvalidTensor(f'{field} holds {brief(value)} where others are {{"b64": "…"}}')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidTensor(f"{field} holds a b64 that is not base64") from None


def _tensor(field: str, value: Any, spec: TensorSpec) -> Array:
    shape = _nesting(value)
    if len(shape) != len(spec.shape):
        raise InvalidTensor(
            f"{field} is nested {len(shape)} deep, the shape is {list(spec.wire_shape)}"
        )
    if spec.datatype == "BYTES":
        value = _as_texts(field, value, len(shape))
    stated = {"datatype": spec.datatype, "shape": shape, "data": value if shape else [value]}
    return decode_tensor(field, stated, spec)


def _nesting(value: Any) -> list[int]:
    """Return the shape of nested lists, as their first items have it."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _as_texts(field: str, value: Any, depth: int) -> Any:
    if depth and isinstance(value, list):
        return [_as_texts(field, item, depth - 1) for item in value]
    if not isinstance(value, dict):
        return value
    try:
        return _decoded(field, value).decode()
    except UnicodeDecodeError:
        raise InvalidTensor(f"{field} holds bytes that are not UTF-8 text") from None
