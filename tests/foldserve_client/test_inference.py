"""The protocol's request as it is written, and answers as they must not be."""

import json
import math
from typing import Any

import numpy as np
import pytest

from foldserve_client.calls import infer
from foldserve_client.errors import InvalidAnswer, InvalidCall
from foldserve_client.exchange import Answer, Request

LENGTH = "inference-header-content-length"
OUTPUT = {"name": "y", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}
X = {"x": np.zeros((1, 2), np.float32)}


def parts(request: Request) -> tuple[dict[str, Any], bytes]:
    length = int(request.headers["Inference-Header-Content-Length"])
    assert request.body is not None
    return json.loads(request.body[:length]), request.body[length:]


def test_the_request_is_the_protocols() -> None:
    texts = np.array([b"a"], np.object_)
    call = infer("m", "3", {"x": np.ones((1, 2), np.float32), "t": texts}, ["y"])
    request = call.request(1.5)
    document, contents = parts(request)
    assert (request.method, request.path) == ("POST", "/v2/models/m/versions/3/infer")
    assert document == {
        "inputs": [
            {
                "name": "x",
                "shape": [1, 2],
                "datatype": "FP32",
                "parameters": {"binary_data_size": 8},
            },
            {
                "name": "t",
                "shape": [1],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": 5},
            },
        ],
        "outputs": [{"name": "y"}],
        "parameters": {"binary_data_output": True, "timeout": 1_500_000},
    }
    assert contents == np.ones(2, "<f4").tobytes() + b"\1\0\0\0a"


def test_all_outputs_are_asked_for_by_none() -> None:
    document, _ = parts(infer("m", None, X, None).request(math.inf))
    assert "outputs" not in document
    assert document["parameters"] == {"binary_data_output": True}


def test_an_array_changed_meanwhile_changes_no_length() -> None:
    """The bytes are the array's own until they are sent; each attempt sends as many."""
    x = np.zeros((1, 2), np.float32)
    call = infer("m", None, {"x": x}, None)
    x += 1
    document, contents = parts(call.request(1.0))
    assert document["inputs"][0]["parameters"]["binary_data_size"] == len(contents) == 8


def answered(outputs: Any, data: bytes = b"", length: Any = None) -> Any:
    head = json.dumps({"outputs": outputs}).encode()
    headers = {LENGTH: str(len(head) if length is None else length)}
    return infer("m", None, X, None).read(Answer(200, headers, head + data))


def test_outputs_are_read_one_behind_the_other() -> None:
    other = OUTPUT | {"name": "z", "datatype": "UINT8", "shape": [1, 1]}
    other["parameters"] = {"binary_data_size": 1}
    found = answered([other, OUTPUT], b"\7" + np.array([1, 2], "<f4").tobytes())
    assert {name: each.tolist() for name, each in found.items()} == {"z": [[7]], "y": [1, 2]}


@pytest.mark.parametrize(
    ("outputs", "data", "length"),
    [
        ([OUTPUT], bytes(8), ""),
        ([OUTPUT], bytes(8), "x"),
        ([OUTPUT], bytes(8), "-1"),
        ([OUTPUT], bytes(8), "²"),
        ([OUTPUT], bytes(8), 10**9),
        ([OUTPUT], bytes(8), 3),
        ([OUTPUT], bytes(7), None),
        ([OUTPUT], bytes(9), None),
        ([OUTPUT, OUTPUT], bytes(8), None),
        ("y", b"", None),
        ([1], b"", None),
        ([{"name": "y", "datatype": "FP32", "shape": [1], "data": [1.0]}], b"", None),
        ([OUTPUT | {"shape": [-1]}], bytes(8), None),
        ([OUTPUT | {"shape": [2.0]}], bytes(8), None),
        ([OUTPUT | {"shape": None}], bytes(8), None),
        ([OUTPUT | {"name": None}], bytes(8), None),
        ([OUTPUT | {"datatype": 1}], bytes(8), None),
        ([OUTPUT | {"parameters": {"binary_data_size": -8}}], bytes(8), None),
        ([OUTPUT | {"parameters": {"binary_data_size": True}}], bytes(1), None),
    ],
)
def test_an_answer_that_contradicts_itself_is_refused(
    outputs: Any, data: bytes, length: Any
) -> None:
    with pytest.raises(InvalidAnswer):
        answered(outputs, data, length)


def test_an_input_that_cannot_be_sent_is_refused_before_anything_is() -> None:
    not_an_array: Any = [1.0]
    with pytest.raises(InvalidCall):
        infer("m", None, {"x": not_an_array}, None)
