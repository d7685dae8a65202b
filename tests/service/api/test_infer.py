"""POST /v2/models/{name}/infer with JSON tensors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import onnx
import orjson
import pytest
from onnx import TensorProto

from service.app import create_app
from service.images.decoding import Decoder
from tests.service import zoo
from tests.service.apps import running, service_of, serving, settings

pytestmark = pytest.mark.anyio

INFER = "/v2/models/doubler/infer"
TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1.0, 2.0, 3.0]}


def request(**changes: Any) -> dict[str, Any]:
    return {"inputs": [TENSOR | changes]}


async def test_tensors_in_are_tensors_out(client: httpx.AsyncClient) -> None:
    answer = await client.post(INFER, json=request())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model_name": "doubler",
        "model_version": "12",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [2.0, 4.0, 6.0]}],
    }


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "text/plain"])
async def test_no_content_type_is_needed(
    client: httpx.AsyncClient, content_type: str | None
) -> None:
    body = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}'
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await client.post(INFER, content=body, headers=headers)
    assert answer.json()["outputs"][0]["data"] == [2, 4, 6]


@pytest.mark.parametrize("name", ["", "42", "ü"])
async def test_the_id_comes_back(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.post(INFER, json=request() | {"id": name})
    assert answer.json()["id"] == name


async def test_a_version_can_be_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v2/models/doubler/versions/1/infer", json=request())
    assert answer.json()["model_version"] == "1"


async def test_nested_data_and_several_rows_are_taken(client: httpx.AsyncClient) -> None:
    body = request(shape=[2, 3], data=[[1, 2, 3], [4, 5, 6]])
    answer = await client.post(INFER, json=body)
    assert answer.json()["outputs"][0] == {
        "name": "y",
        "datatype": "FP32",
        "shape": [2, 3],
        "data": [2, 4, 6, 8, 10, 12],
    }


async def test_unknown_members_and_parameters_are_ignored(client: httpx.AsyncClient) -> None:
    body = request(parameters={"color": "red"}) | {
        "parameters": {"binary_data_output": True, "priority": 1, "timeout": 9_000_000, "mood": 1},
        "surprise": {},
    }
    assert (await client.post(INFER, json=body)).status_code == 200


async def test_an_empty_batch_has_an_empty_answer(client: httpx.AsyncClient) -> None:
    answer = await client.post(INFER, json=request(shape=[0, 3], data=[]))
    assert answer.json()["outputs"][0]["shape"] == [0, 3]
    assert answer.json()["outputs"][0]["data"] == []


@pytest.mark.parametrize("outputs", [None, [], [{"name": "sum"}, {"name": "difference"}]])
async def test_all_outputs_come_in_the_order_of_the_graph(tmp_path: Path, outputs: Any) -> None:
    answer = await two(tmp_path, outputs)
    assert [each["name"] for each in answer.json()["outputs"]] == ["sum", "difference"]


async def test_the_outputs_that_are_asked_for_come_in_that_order(tmp_path: Path) -> None:
    answer = await two(tmp_path, [{"name": "difference"}])
    assert answer.json()["outputs"] == [
        {"name": "difference", "datatype": "FP32", "shape": [1, 2], "data": [-9, -18]}
    ]


async def two(models: Path, outputs: Any) -> httpx.Response:
    zoo.put(models, "two", 1, zoo.two_in_two_out())
    tensors = [
        {"name": name, "shape": [1, 2], "datatype": "FP32", "data": data}
        for name, data in (("b", [10, 20]), ("a", [1, 2]))
    ]
    async with serving(models) as client:
        return await client.post(
            "/v2/models/two/infer", json={"inputs": tensors, "outputs": outputs}
        )


@pytest.mark.parametrize(
    ("kind", "datatype", "data"),
    [
        (TensorProto.BOOL, "BOOL", [True, False, True]),
        (TensorProto.UINT8, "UINT8", [0, 1, 255]),
        (TensorProto.UINT16, "UINT16", [0, 1, 65535]),
        (TensorProto.UINT32, "UINT32", [0, 1, 2**32 - 1]),
        (TensorProto.UINT64, "UINT64", [0, 2**53 + 1, 2**64 - 1]),
        (TensorProto.INT8, "INT8", [-128, 0, 127]),
        (TensorProto.INT16, "INT16", [-(2**15), 0, 2**15 - 1]),
        (TensorProto.INT32, "INT32", [-(2**31), 0, 2**31 - 1]),
        (TensorProto.INT64, "INT64", [-(2**63), 2**53 + 1, 2**63 - 1]),
        (TensorProto.FLOAT16, "FP16", [-1.5, 0.0, 65504.0]),
        (TensorProto.FLOAT, "FP32", [-1.5, 0.0, 3.4028235e38]),
        (TensorProto.DOUBLE, "FP64", [-1.5, 0.1, 1.7976931348623157e308]),
        (TensorProto.STRING, "BYTES", ["", "a", "ü"]),
    ],
)
async def test_every_datatype_goes_through_and_comes_back_as_it_was(
    tmp_path: Path, kind: int, datatype: str, data: list[Any]
) -> None:
    tensor = {"name": "x", "shape": [1, 3], "datatype": datatype, "data": data}
    zoo.put(tmp_path, "same", 1, zoo.identity(kind))
    async with serving(tmp_path) as client:
        answer = await client.post("/v2/models/same/infer", json={"inputs": [tensor]})
    assert answer.json()["outputs"] == [tensor | {"name": "y"}]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(zoo.doubler(shape=(2, 3)), id="a fixed batch"),
        pytest.param(zoo.doubler(shape=("rows", "columns")), id="open sizes"),
        pytest.param(zoo.doubler(shape=(None, None)), id="nameless sizes"),
    ],
)
async def test_models_of_other_shapes_are_served_too(
    tmp_path: Path, model: onnx.ModelProto
) -> None:
    zoo.put(tmp_path, "doubler", 1, model)
    async with serving(tmp_path) as client:
        answer = await client.post(INFER, json=request(shape=[2, 3], data=[1, 2, 3, 4, 5, 6]))
    assert answer.json()["outputs"][0]["data"] == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "the request must be a JSON object"),
        ({}, "inputs must be a list"),
        ({"inputs": {}}, "inputs must be a list"),
        ({"inputs": []}, "inputs lacks 'x'"),
        ({"inputs": [1]}, "inputs[0] must be a JSON object"),
        ({"inputs": [{"name": "z"}]}, "inputs[0].name 'z' is none of 'x'"),
        ({"inputs": [{"name": None}]}, "inputs[0].name None is none of 'x'"),
        ({"inputs": [{"name": []}]}, "inputs[0].name list is none of 'x'"),
        ({"inputs": [TENSOR, TENSOR]}, "inputs[1].name 'x' is there twice"),
        (request() | {"id": 7}, "id must be a string, not 7"),
        (request() | {"outputs": {}}, "outputs must be a list"),
        (request() | {"outputs": [{"name": "z"}]}, "outputs[0].name 'z' is none of 'y'"),
        (request() | {"outputs": [{"name": "y"}] * 2}, "outputs[1].name 'y' is there twice"),
        (request() | {"parameters": []}, "parameters must be a JSON object"),
        (
            request() | {"parameters": {"sequence_id": 1}},
            "parameters.sequence_id is not supported",
        ),
        (
            request(parameters={"shared_memory_region": "r"}),
            "inputs[0].parameters.shared_memory_region is not supported",
        ),
        (request(datatype="FP64"), "inputs[0].datatype must be FP32 for 'x', not 'FP64'"),
        (request(shape=[-1, 3]), "inputs[0].shape[0] must be a size of 0 or more, not -1"),
        (request(shape=[10**12, 3]), "inputs[0].data has 3 values, the shape asks for"),
        (request(data=[1, 2, "3"]), "inputs[0].data holds a string, not FP32 values"),
        (request(data=[1, 2, 1e39]), "inputs[0].data holds a value beyond FP32"),
    ],
)
async def test_a_request_that_is_wrong_is_answered_400_with_the_field_that_is(
    client: httpx.AsyncClient, body: Any, message: str
) -> None:
    answer = await client.post(INFER, json=body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].startswith(message)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_infinity_and_nan_are_no_json(client: httpx.AsyncClient, number: str) -> None:
    body = f'{{"inputs":[{{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,{number}]}}]}}'
    answer = await client.post(INFER, content=body)
    assert answer.status_code == 400
    assert "not JSON" in answer.json()["error"]


async def test_deep_json_is_refused_and_not_a_crash(client: httpx.AsyncClient) -> None:
    answer = await client.post(INFER, content=b'{"inputs":' + b"[" * 100_000)
    assert answer.status_code == 400


@pytest.mark.parametrize("value", [0, -1])
async def test_an_output_that_json_cannot_carry_is_an_error(tmp_path: Path, value: float) -> None:
    zoo.put(tmp_path, "log", 1, zoo.logarithm())
    async with serving(tmp_path, warm_up=False) as client:
        answer = await client.post("/v2/models/log/infer", json=request(data=[1, 1, value]))
        fine = await client.post("/v2/models/log/infer", json=request(data=[1, 1, 1]))
    assert answer.status_code == 500
    assert answer.json() == {"error": "output 'y' holds NaN or infinity"}
    assert fine.json()["outputs"][0]["data"] == [0, 0, 0]


class CountingDecoder(Decoder):
    decoded = 0

    async def decode(self, work: Callable[[], Any], deadline: float) -> Any:
        self.decoded += 1
        return await super().decode(work, deadline)


async def test_a_large_body_is_read_beside_the_event_loop(tmp_path: Path) -> None:
    zoo.put(tmp_path, "open", 1, zoo.doubler(shape=(1, "n")))
    count = 300_000  # values of several chunks, which take a tenth of a second to read
    tensor = {
        "name": "x",
        "shape": [1, count],
        "datatype": "FP32",
        "data": [1, 2, 3] * (count // 3),
    }
    body = orjson.dumps({"inputs": [tensor]})
    app = create_app(settings(tmp_path))
    decoder = service_of(app).decoder = CountingDecoder(1, 8)
    async with running(app) as client:
        answer = await client.post("/v2/models/open/infer", content=body)
        bad = await client.post("/v2/models/open/infer", content=body.replace(b"3]", b"true]"))
    assert answer.json()["outputs"][0]["data"] == [2, 4, 6] * (count // 3)
    assert bad.json() == {"error": "inputs[0].data holds a boolean, not FP32 values"}
    assert decoder.decoded == 4, "two bodies, and an answer that is written and compressed"


@pytest.mark.parametrize("count", [3_000, 30_000])
async def test_an_answer_is_compressed_for_a_client_that_asks(tmp_path: Path, count: int) -> None:
    zoo.put(tmp_path, "open", 1, zoo.doubler(shape=(1, "n")))
    tensor = {"name": "x", "shape": [1, count], "datatype": "FP32", "data": [1.5] * count}
    headers = {"Accept-Encoding": "gzip"}
    async with serving(tmp_path) as client:
        answer = await client.post(
            "/v2/models/open/infer", json={"inputs": [tensor]}, headers=headers
        )
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.json()["outputs"][0]["data"] == [3.0] * count


async def test_an_answer_that_no_thread_can_compress_goes_as_it_is(tmp_path: Path) -> None:
    zoo.put(tmp_path, "open", 1, zoo.doubler(shape=(1, "n")))
    app = create_app(settings(tmp_path))
    service_of(app).decoder = Decoder(1, 0)
    zeros = b"\0" * 4 * 15_000
    tensor = {
        "name": "x",
        "shape": [1, 15_000],
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(zeros)},
    }
    head = orjson.dumps({"inputs": [tensor]})
    headers = {"Inference-Header-Content-Length": str(len(head)), "Accept-Encoding": "gzip"}
    async with running(app) as client:
        answer = await client.post("/v2/models/open/infer", content=head + zeros, headers=headers)
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers
    assert answer.json()["outputs"][0]["data"] == [0.0] * 15_000


async def test_many_texts_behind_the_json_are_read_beside_the_event_loop(tmp_path: Path) -> None:
    zoo.put(tmp_path, "same", 1, zoo.identity(TensorProto.STRING, ("batch", "n")))
    app = create_app(settings(tmp_path))
    decoder = service_of(app).decoder = CountingDecoder(1, 8)
    async with running(app) as client:
        for count in (10, 5000):
            tensor = {"name": "x", "shape": [1, count], "datatype": "BYTES"}
            stated = tensor | {"parameters": {"binary_data_size": 4 * count}}
            body = orjson.dumps({"inputs": [stated]})
            headers = {"Inference-Header-Content-Length": str(len(body))}
            answer = await client.post(
                "/v2/models/same/infer", content=body + bytes(4 * count), headers=headers
            )
            assert answer.json()["outputs"][0]["data"] == [""] * count
    assert decoder.decoded == 1, "the larger body; its answer is few numbers"


async def test_a_header_length_that_is_there_twice_is_refused(client: httpx.AsyncClient) -> None:
    body = orjson.dumps(request())
    twice = [("Inference-Header-Content-Length", str(len(body)))] * 2
    answer = await client.post(INFER, content=body, headers=twice)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(
        "Inference-Header-Content-Length must be a number of bytes, not "
    )
