"""Inference on arrays: the Open Inference Protocol, its tensors as bytes in both directions.

https://github.com/kserve/open-inference-protocol, ``specification/protocol/inference_rest.md``.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from foldserve_client.errors import InvalidAnswer
from foldserve_client.exchange import Answer, Call, Request
from foldserve_client.reading import Fields, fields
from foldserve_client.tensors import Array, datatype_of, to_array, to_bytes

_HEADER_LENGTH = "Inference-Header-Content-Length"

_MICROSECONDS = 1e6


def infer(
    path: str, inputs: Mapping[str, Array], outputs: Sequence[str] | None
) -> Call[dict[str, Array]]:
    """Return the call that runs a model.

    The server is told how long the answer is waited for, and drops what would come too late.

    Args:
        path: of the model's endpoint.
        inputs: by name.
        outputs: the names of those that are wanted; None for all.

    Raises:
        InvalidCall: an input cannot be sent.
    """
    document: dict[str, Any] = {"inputs": []}
    contents = []
    for name, array in inputs.items():
        datatype, content = datatype_of(name, array), to_bytes(name, array)
        size = {"binary_data_size": memoryview(content).nbytes}
        tensor = {"name": name, "shape": array.shape, "datatype": datatype, "parameters": size}
        document["inputs"].append(tensor)
        contents.append(content)
    if outputs is not None:
        document["outputs"] = [{"name": name} for name in outputs]

    def request(left_s: float) -> Request:
        parameters: dict[str, Any] = {"binary_data_output": True}
        if math.isfinite(left_s):
            parameters["timeout"] = max(1, int(left_s * _MICROSECONDS))  # 0 would be no limit
        head = json.dumps(document | {"parameters": parameters}).encode()
        headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(len(head))}
        return Request("POST", path, headers, b"".join([head, *contents]))

    return Call(request, _read)


def _read(answer: Answer) -> dict[str, Array]:
    """Return the outputs by name."""
    length = answer.headers.get(_HEADER_LENGTH.lower(), "")
    if not (length.isascii() and length.isdecimal() and int(length) <= len(answer.body)):
        raise InvalidAnswer(f"the answer has no {_HEADER_LENGTH} that is within its length")
    document = fields(answer.body[: int(length)])
    data = memoryview(answer.body)[int(length) :]
    found = {}
    for output in document.objects("outputs"):
        content, data = _split(output, data)
        shape = output.sizes("shape")
        found[output.text("name")] = to_array(output.text("datatype"), shape, content)
    if len(data):
        raise InvalidAnswer(f"{len(data)} bytes came behind the last output")
    return found


def _split(output: Fields, data: memoryview) -> tuple[memoryview, memoryview]:
    """Return the bytes of one output, and those of the others."""
    size = output.object("parameters").whole("binary_data_size")
    if size > len(data):
        raise InvalidAnswer(f"{len(data)} bytes came for an output of {size}")
    return data[:size], data[size:]
