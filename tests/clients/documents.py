"""Tensors as JSON, between the tests and the clients' own processes; knows numpy alone."""

import base64
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Document = dict[str, Any]


def datatype(array: NDArray[Any]) -> str:
    """The protocol's word for an array's type."""
    if array.dtype.kind == "O":
        return "BYTES"
    short = {"b": "BOOL", "u": "UINT", "i": "INT", "f": "FP"}[array.dtype.kind]
    return short if short == "BOOL" else f"{short}{8 * array.dtype.itemsize}"


def tensor(array: NDArray[Any]) -> Document:
    """An array, bit for bit; of dtype object it holds bytes, or texts."""
    data: Any = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    if array.dtype.kind == "O":
        elements = [x.encode() if isinstance(x, str) else x for x in array.reshape(-1)]
        data = [base64.b64encode(element).decode() for element in elements]
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def array_of(document: Mapping[str, Any]) -> NDArray[Any]:
    """The array that a document holds."""
    dtype = np.dtype(document["dtype"])
    if dtype.kind == "O":
        elements = [base64.b64decode(element) for element in document["data"]]
        return np.array(elements, dtype=np.object_).reshape(document["shape"])
    data = base64.b64decode(document["data"])
    return np.frombuffer(data, dtype).reshape(document["shape"])


def arguments() -> tuple[str, list[Document]]:
    """What a client's script is given: the address of the server, and the cases."""
    address, cases = sys.argv[1:]
    return address, json.loads(Path(cases).read_text())
