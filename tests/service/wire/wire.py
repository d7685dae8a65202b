"""Writes inference requests and reads answers, by other code than the service's."""

import json
import struct
from typing import Any

import numpy as np

from service.artifact.manifest import ImageInput
from service.artifact.signature import DATATYPES, Signature, TensorSpec

IMAGE = ImageInput(
    name="x",
    kind="image",
    layout="NCHW",
    color="L",
    channels=1,
    height=2,
    width=2,
    value_range=(0, 255),
    resize_filter="nearest",
    crop_fraction=None,
)

NUMERIC = [name for name in DATATYPES if name != "BYTES"]


def one_input(
    datatype: str = "FP32", shape: tuple[int | str | None, ...] = ("n", 2), output: str = "FP32"
) -> Signature:
    """x of any kind in, y of shape (n, 3) out."""
    outputs = (TensorSpec("y", output, ("n", 3)),)
    return Signature((TensorSpec("x", datatype, shape),), outputs)


def little_endian(array: Any) -> bytes:
    """The elements of an array as the extension wants them; texts behind their lengths."""
    if array.dtype != object:
        return bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return prefixed(*(text.encode() for text in array.reshape(-1)))


def prefixed(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def json_tensor(name: str, datatype: str, array: Any) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": datatype,
        "data": array.reshape(-1).tolist(),
    }


def binary_tensor(name: str, datatype: str, array: Any, **changes: Any) -> dict[str, Any]:
    size = len(little_endian(array))
    tensor = {"name": name, "shape": list(array.shape), "datatype": datatype}
    return tensor | {"parameters": {"binary_data_size": size}} | changes


def packed(document: dict[str, Any], *parts: bytes, pad: int = 0) -> tuple[bytes, int]:
    """A body and its header length; ``pad`` blanks behind the JSON move what follows."""
    header = json.dumps(document).encode() + b" " * pad
    return header + b"".join(parts), len(header)


def unpacked(body: bytes, header_length: int | None) -> tuple[dict[str, Any], list[bytes]]:
    """The JSON of an answer and the bytes of its binary outputs, none left over."""
    end = len(body) if header_length is None else header_length
    document = json.loads(body[:end])
    parts = []
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None:
            parts.append(body[end : end + size])
            assert len(parts[-1]) == size
            end += size
    assert end == len(body)
    return document, parts


def elements(data: bytes) -> list[bytes]:
    found = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


def random_array(datatype: str, shape: tuple[int, ...], seed: int = 0) -> Any:
    """Values from the whole range of a datatype; finite."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(DATATYPES[datatype])
    if datatype == "BOOL":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return (rng.standard_normal(shape) * 100).astype(dtype)
