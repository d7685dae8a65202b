"""Encoded images inside the protocol: a BYTES input in place of a model's image tensor.

The shape is [N] or [N, 1], as OpenVINO Model Server takes it. In JSON, whose strings hold no
bytes, an image is ``{"b64": "…"}``, as TensorFlow Serving writes bytes.
"""

import base64
import binascii
from dataclasses import replace
from typing import Any

from service.artifact.signature import Dim, TensorSpec
from service.errors import InvalidTensor
from service.wire.binary import split_elements
from service.wire.tensors import brief, flat_values, stated_shape


def decode_images(
    field: str, tensor: dict[str, Any], spec: TensorSpec, data: memoryview | None
) -> list[bytes]:
    """Return the encoded images of one input.

    Args:
        field: where the tensor stands in the request, for the messages.
        tensor: the JSON object with ``shape``, ``datatype`` and, without ``data``, the images.
        spec: the model's input of that name, whose first dimension is that of the images.
        data: the images as a binary BYTES tensor, if they came so.

    Raises:
        InvalidTensor: it contradicts itself or the signature; names the field.
    """
    shape = stated_shape(field, tensor, _as_bytes(spec, tensor.get("shape")))
    if shape[0] == 0:
        raise InvalidTensor(f"{field} holds no image")
    if data is not None:
        return split_elements(field, shape[0], data)
    values = flat_values(f"{field}.data", tensor.get("data"), shape)
    return [_from_base64(f"{field}.data", value) for value in values]


def _as_bytes(spec: TensorSpec, shape: object) -> TensorSpec:
    rows: Dim = spec.shape[0] if spec.shape else None
    columns = isinstance(shape, list) and len(shape) == 2
    return replace(spec, datatype="BYTES", shape=(rows, 1) if columns else (rows,))


def _from_base64(field: str, value: object) -> bytes:
    text = value.get("b64") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise InvalidTensor(
            f'{field} must hold each image as {{"b64": "…"}}, or the request its bytes as a'
            f" binary tensor, not {brief(value)}"
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidTensor(f"{field} holds an image that is not base64") from None
