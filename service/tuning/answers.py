"""What a server answered, as arrays, and whether two answers say the same."""

from collections.abc import Mapping
from email.parser import BytesHeaderParser
from http import HTTPStatus
from typing import Any

import numpy as np
import orjson

from service.artifact.signature import DATATYPES, Array
from service.inference.closeness import is_near
from service.tuning.candidates import NotMeasured

# Of the largest value of an output. Half precision and other kernels for other batches and
# threads stay well below it; a row that is mixed with another is off by far more.
_TOLERANCE = 1e-2

# In int8 a value that is rounded the other way is off by a whole step, and so are those after it.
_INT8_TOLERANCE = 5e-2

Values = Mapping[str, Array]
"""The outputs by their names; of an image, the probabilities."""


def read_answer(answer: bytes) -> Values:
    """Read a whole answer over HTTP.

    Raises:
        NotMeasured: its status says that it is an error.
    """
    head, _, body = answer.partition(b"\r\n\r\n")
    status, _, fields = head.partition(b"\r\n")
    code = int(status.split()[1])
    if code != HTTPStatus.OK:
        raise NotMeasured(f"an answer had status {code}: {_message(body)}")
    headers = BytesHeaderParser().parsebytes(fields)
    length = int(headers.get("Inference-Header-Content-Length", len(body)))
    document = orjson.loads(body[:length])
    if "predictions" in document:
        found = [each["probability"] for each in document["predictions"]]
        return {"probabilities": np.array(found)}
    return _tensors(document["outputs"], body[length:])


def agree(answer: Values, reference: Values, precision: str) -> bool:
    """Whether an answer is the reference but for rounding.

    Args:
        answer: of the plan under measurement.
        reference: of a server that could not mix anything up.
        precision: of the model.
    """
    tolerance = _INT8_TOLERANCE if precision == "int8" else _TOLERANCE
    return answer.keys() == reference.keys() and all(
        is_near(array, reference[name], tolerance) for name, array in answer.items()
    )


def _message(body: bytes) -> str:
    """Return what an error says of itself, in one line."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "no JSON"
    return str(document.get("error") or document.get("detail") or "no reason")


def _tensors(outputs: list[dict[str, Any]], data: bytes) -> Values:
    found: dict[str, Array] = {}
    for output in outputs:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[output["name"]] = np.array(output["data"], DATATYPES[output["datatype"]])
            continue
        found[output["name"]] = _elements(output["datatype"], data[:size])
        data = data[size:]
    return found


def _elements(datatype: str, data: bytes) -> Array:
    """Return the values of a tensor in binary; of strings their bytes, which say as much."""
    return np.frombuffer(data, np.uint8 if datatype == "BYTES" else DATATYPES[datatype])
