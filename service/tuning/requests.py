"""The requests of the load, whole as they go over the wire, made of random inputs."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import orjson
from PIL import Image

from service.artifact.signature import Array, TensorSpec
from service.errors import StartError
from service.tuning.subject import Version
from service.wire.binary import encode_binary

Format = Literal["binary", "json", "jpeg"]
FORMATS: tuple[Format, ...] = get_args(Format)

# Different ones, so that an answer that went to another request does not look right; few
# enough that large inputs stay small in memory.
COUNT = 8

_SEED = 0

# A camera's picture on a page, and the quality that most are saved with.
_PICTURE_SIZE = (640, 480)
_JPEG_QUALITY = 90

# A picture is smooth where noise is not: random patches of this many pixels, blurred.
_PATCHES = (16, 12)

Shapes = Mapping[str, tuple[int, ...]]
"""Sizes by the names of inputs, for those that leave sizes open."""

_Input = tuple[TensorSpec, Array]


def make_requests(
    name: str, version: Version, form: Format, shapes: Shapes, picture: bytes | None = None
) -> list[bytes]:
    """Return POST requests for one version of a model.

    Args:
        name: of the model.
        version: of it, which says what it takes.
        form: of the body.
        shapes: of the inputs whose sizes are open.
        picture: an encoded image to send in place of made ones.

    Raises:
        StartError: the model takes no images, or a size is open and not stated.
    """
    rng = np.random.default_rng(_SEED)
    place = f"versions/{version.number}"
    if form == "jpeg":
        if version.image_shape is None:
            raise StartError(f"model {name} version {version.number} takes no images")
        pictures = [picture] if picture else [_jpeg(rng) for _ in range(COUNT)]
        return [_post(f"/models/{name}/{place}/predict", each) for each in pictures]
    write = _binary if form == "binary" else _json
    path = f"/v2/models/{name}/{place}/infer"
    return [write(path, _inputs(version, shapes, rng)) for _ in range(COUNT)]


def parse_shapes(texts: Sequence[str]) -> Shapes:
    """Read shapes such as ``image=1x3x224x224``.

    Raises:
        StartError: a text is none.
    """
    shapes = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        parts = sizes.split("x")
        if not name or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise StartError(f"{text} is no shape; write NAME=1x3x224x224")
        shapes[name] = tuple(map(int, parts))
    return shapes


def _inputs(version: Version, shapes: Shapes, rng: np.random.Generator) -> list[_Input]:
    return [
        (spec, _random(spec, version, _shape(spec, version, shapes), rng))
        for spec in version.inputs
    ]


def _shape(spec: TensorSpec, version: Version, shapes: Shapes) -> tuple[int, ...]:
    """Return the shape of one request's input: a batch of one where nothing else is said."""
    if spec.name in shapes:
        return shapes[spec.name]
    if version.image_shape is not None:
        return (1, *version.image_shape)
    shape = tuple(1 if i == 0 and size is None else size for i, size in enumerate(spec.shape))
    known = tuple(size for size in shape if isinstance(size, int))
    if len(known) < len(shape):
        sizes = "x".join("?" if size is None else str(size) for size in shape)
        raise StartError(f"input {spec.name} has open sizes; say --shape {spec.name}={sizes}")
    return known


def _random(
    spec: TensorSpec, version: Version, shape: tuple[int, ...], rng: np.random.Generator
) -> Array:
    """Return values of the stated range; whole numbers of 0 and 1 may be indices anywhere."""
    if spec.datatype == "BYTES":
        return rng.choice(np.array(["a", "b"], object), shape)
    if spec.dtype.kind == "f":
        low, high = version.value_range or (0.0, 1.0)
        return rng.uniform(low, high, shape).astype(spec.dtype)
    highest = 255 if version.image_shape is not None else 1
    return rng.integers(0, highest, shape, endpoint=True).astype(spec.dtype)


def _json(path: str, inputs: Sequence[_Input]) -> bytes:
    tensors = [_head(spec, array) | {"data": _values(array)} for spec, array in inputs]
    return _post(path, orjson.dumps({"inputs": tensors}, option=orjson.OPT_SERIALIZE_NUMPY))


def _binary(path: str, inputs: Sequence[_Input]) -> bytes:
    data = [bytes(encode_binary(spec, array)) for spec, array in inputs]
    tensors = [
        _head(spec, array) | {"parameters": {"binary_data_size": len(octets)}}
        for (spec, array), octets in zip(inputs, data, strict=True)
    ]
    head = orjson.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}})
    return _post(path, b"".join([head, *data]), len(head))


def _head(spec: TensorSpec, array: Array) -> dict[str, Any]:
    return {"name": spec.name, "shape": array.shape, "datatype": spec.datatype}


def _values(array: Array) -> Any:
    # Half precision is no type that JSON's writer knows.
    return array.ravel().tolist() if array.dtype in (object, np.float16) else array.ravel()


def _post(path: str, body: bytes, header_length: int | None = None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    if header_length is not None:
        lines.append(f"Inference-Header-Content-Length: {header_length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _jpeg(rng: np.random.Generator) -> bytes:
    patches = rng.integers(0, 255, (_PATCHES[1], _PATCHES[0], 3), np.uint8, endpoint=True)
    picture = Image.fromarray(patches).resize(_PICTURE_SIZE, Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=_JPEG_QUALITY)
    return encoded.getvalue()
