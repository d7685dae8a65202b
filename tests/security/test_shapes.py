"""Shapes, types and lengths that lie: refused with the field's name, and nothing is allocated."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.chaos.load import resident_bytes
from tests.service import zoo
from tests.service.servers import PATIENCE_S, Server, server

INFER = "/v2/models/m/infer"
LENGTH = "Inference-Header-Content-Length"
VALUES = np.array([[1, 2, 3]], np.float32).tobytes()
TENSOR: dict[str, Any] = {"name": "x", "shape": [1, 3], "datatype": "FP32"}
MEBIBYTE = 2**20
MOST_GROWTH = 64 * MEBIBYTE  # what was asked for are terabytes


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    zoo.put(models, "m", 1, zoo.doubler())
    zoo.put(models, "open", 1, zoo.doubler(shape=("batch", "width")))
    zoo.put(models, "two", 1, zoo.two_in_two_out())
    with server(models) as process:
        before = resident_bytes(process.process.pid)
        yield process
        assert resident_bytes(process.process.pid) < before + MOST_GROWTH
        assert process.stop() == 0


def refused(answer: httpx.Response, field: str) -> None:
    assert answer.status_code == 400, answer.text
    message = answer.json()["error"]
    assert field in message
    assert len(message) < 300


def in_json(running: Server, model: str = "m", **changes: Any) -> httpx.Response:
    """Send values in the JSON, on either road."""
    body = json.dumps({"inputs": [TENSOR | {"data": [1, 2, 3]} | changes]}).encode()
    url = f"{running.url}/v2/models/{model}/infer"
    whole = httpx.post(url, content=body, timeout=PATIENCE_S)
    pieces = httpx.post(url, content=iter([body]), timeout=PATIENCE_S)
    assert (whole.status_code, whole.json()) == (pieces.status_code, pieces.json())
    return whole


def in_bytes(
    running: Server, values: bytes = VALUES, length: str | None = None, **changes: Any
) -> httpx.Response:
    """Send values behind the JSON; the parameters of the tensor are among the changes."""
    tensor = TENSOR | {"parameters": {"binary_data_size": len(VALUES)}} | changes
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {LENGTH: str(len(head)) if length is None else length}
    return httpx.post(
        running.url + INFER, content=head + values, headers=headers, timeout=PATIENCE_S
    )


SHAPES: tuple[Any, ...] = (
    [-1, 3],
    [1, -3],
    [-1, -3],
    [1, 0],
    [0, 0],
    [2**31, 3],
    [2**63 - 1, 3],
    [2**63, 3],
    [2**64 + 1, 3],
    [2**32, 2**32],  # whose product is 0 in 64 bits
    [10**30, 3],
    [3],
    [],
    [1, 3, 1],
    [1, 4],
    [1.0, 3],
    [1.5, 2],
    ["1", 3],
    [True, 3],
    [None, 3],
    [[1], 3],
    {"0": 1, "1": 3},
    "1,3",
    3,
    None,
)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_shape_that_is_none_of_the_models_is_refused_by_its_name(
    running: Server, shape: Any
) -> None:
    field = "x" if shape == [0, 3] else "inputs[0]"
    refused(in_json(running, shape=shape), field)
    refused(in_bytes(running, shape=shape), field)


@pytest.mark.parametrize(
    "shape", [[1, -1], [-1, 1], [2**31, 2**33], [1, 2**40], [2**40, 1], [1, 2**62], [2**62, 4]]
)
def test_sizes_that_a_graph_leaves_open_are_those_of_the_values(
    running: Server, shape: list[int]
) -> None:
    refused(in_json(running, "open", shape=shape), "inputs[0]")


@pytest.mark.parametrize("shape", [[0, 3], [0, 2**40]])
def test_no_rows_are_no_way_to_ask_for_many(running: Server, shape: list[int]) -> None:
    answer = in_json(running, "open", shape=shape, data=[])
    assert answer.status_code in {200, 400}
    assert len(answer.content) < 300


@pytest.mark.parametrize(
    "datatype", ["FP64", "FP16", "INT32", "UINT8", "BOOL", "BYTES", "BF16", "fp32", "", None, 1, []]
)
def test_another_datatype_than_the_models_is_refused(running: Server, datatype: Any) -> None:
    refused(in_json(running, datatype=datatype), "inputs[0].datatype")
    refused(in_bytes(running, datatype=datatype), "inputs[0].datatype")


DATA: tuple[Any, ...] = (
    [1, 2],
    [1, 2, 3, 4],
    [],
    [[1, 2, 3], [4, 5, 6]],
    [[1, 2], [3]],
    ["1", "2", "3"],
    [1, 2, None],
    [True, False, True],
    [1, 2, {}],
    {"0": 1},
    "123",
    7,
    None,
    [[[1]], 2, 3],
)


@pytest.mark.parametrize("data", DATA, ids=str)
def test_data_of_another_form_than_the_shape_is_refused(running: Server, data: Any) -> None:
    refused(in_json(running, data=data), "inputs[0]")


@pytest.mark.parametrize(
    "size", [-1, 13, 2**31, 2**63, 2**64, 10**30, 1.5, "12", True, [12], {}], ids=str
)
def test_a_binary_size_that_lies_is_refused(running: Server, size: Any) -> None:
    answer = in_bytes(running, parameters={"binary_data_size": size})
    refused(answer, "inputs[0]")


@pytest.mark.parametrize("size", [0, 11, None])
def test_bytes_that_are_no_inputs_are_refused(running: Server, size: int | None) -> None:
    answer = in_bytes(running, parameters={"binary_data_size": size})
    refused(answer, "bytes behind its last tensor")


@pytest.mark.parametrize("values", [b"", VALUES[:-1], VALUES + b"x", VALUES * 1000])
def test_other_bytes_than_were_stated_are_refused(running: Server, values: bytes) -> None:
    answer = in_bytes(running, values)
    assert answer.status_code == 400
    assert "bytes" in answer.json()["error"]


def test_the_same_bytes_are_not_taken_for_two_inputs(running: Server) -> None:
    tensors = [
        {"name": name, "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
        for name in ("a", "b")
    ]
    head = json.dumps({"inputs": tensors}).encode()
    answer = httpx.post(
        f"{running.url}/v2/models/two/infer",
        content=head + bytes(8),
        headers={LENGTH: str(len(head))},
        timeout=PATIENCE_S,
    )
    refused(answer, "inputs[1]")


@pytest.mark.parametrize(
    "length",
    ["-1", "+10", "99999", "9" * 30, "1e2", "0x10", "ten", "1.0", "10,10", "1_0", "\u0661"],
)
def test_a_header_length_that_is_none_is_refused(running: Server, length: str) -> None:
    head = json.dumps({"inputs": [TENSOR | {"parameters": {"binary_data_size": 12}}]}).encode()
    answer = httpx.post(
        running.url + INFER,
        content=head + VALUES,
        headers=[(b"Inference-Header-Content-Length", length.encode())],
        timeout=PATIENCE_S,
    )
    refused(answer, LENGTH)


@pytest.mark.parametrize("second", [b"10", b"0", b"", b"SAME"])
def test_a_header_length_that_comes_twice_is_refused(running: Server, second: bytes) -> None:
    head = json.dumps({"inputs": [TENSOR | {"parameters": {"binary_data_size": 12}}]}).encode()
    own = b"%d" % len(head)
    lines = [
        b"POST /v2/models/m/infer HTTP/1.1",
        b"Host: x",
        b"Connection: close",
        LENGTH.encode() + b": " + own,
        LENGTH.encode() + b": " + second.replace(b"SAME", own),
        b"Content-Length: %d" % len(head + VALUES),
    ]
    with socket.create_connection(("127.0.0.1", running.port), PATIENCE_S) as connection:
        connection.sendall(b"\r\n".join([*lines, b"", b""]) + head + VALUES)
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert LENGTH.encode() in answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_header_length_into_the_json_is_refused(running: Server, cut: int) -> None:
    head = json.dumps({"inputs": [TENSOR | {"parameters": {"binary_data_size": 12}}]})
    refused(in_bytes(running, length=str(len(head) - cut)), "JSON")


def test_what_is_right_is_answered_still(running: Server, figure: Callable[..., None]) -> None:
    assert in_json(running).json()["outputs"][0]["data"] == [2, 4, 6]
    assert in_bytes(running).json()["outputs"][0]["data"] == [2, 4, 6]
    figure("Shapes, types, lengths that lie: 400 that names the field", shapes=len(SHAPES), wrong=0)
