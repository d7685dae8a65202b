"""ModelInfer: tensors and images of every kind, in and out."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from grpc import StatusCode  # type: ignore[import-untyped]  # it has no types
from grpc.aio import AioRpcError  # type: ignore[import-untyped]  # it has no types
from onnx import helper

from service.images.decoding import Decoder
from service.wire.binary import join_elements, split_elements
from tests.clients import zoo
from tests.clients.documents import datatype
from tests.clients.zoo import Case
from tests.service.apps import service_of
from tests.service.pictures import grey
from tests.service.rpc.clients import Client, arrays, failure, request, serving, tensor
from tests.service.zoo import constant, graph_model, identity, info, put

pytestmark = pytest.mark.anyio

CASES = {case.id: case for case in zoo.cases()}

# The field of InferTensorContents that the protocol gives to each datatype.
FIELDS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
X = np.array([[1, 2, 3]], np.float32)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.build(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
async def served(repository: Path) -> AsyncIterator[Client]:
    async with serving(repository) as client:
        yield client


def raw_bytes(array: Any) -> bytes:
    return join_elements(array.reshape(-1).tolist()) if array.dtype.kind == "O" else array.tobytes()


def decoded(output: Any, raw: bytes) -> Any:
    if output.datatype == "BYTES":
        elements = split_elements("output", int(np.prod(output.shape)), memoryview(raw))
        return np.array(elements, dtype=np.object_).reshape(output.shape)
    dtype = np.dtype(output.datatype.lower().replace("fp", "float"))
    return np.frombuffer(raw, dtype).reshape(output.shape)


def check(case: Case, answer: Any) -> None:
    assert [output.name for output in answer.outputs] == list(case.outputs)
    for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        expected = case.outputs[output.name]
        assert output.datatype == datatype(expected)
        found = decoded(output, raw)
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_raw_contents_are_answered_with_raw_contents(served: Client, case: Case) -> None:
    stated = [tensor(name, x, datatype(x)) for name, x in case.inputs.items()]
    raw = [raw_bytes(x) for x in case.inputs.values()]
    check(case, await served.infer(case.model, {}, inputs=stated, raw_input_contents=raw))


TYPED = {
    case.id: case
    for case in CASES.values()
    if all(datatype(x) in FIELDS for x in case.inputs.values())
}


@pytest.mark.parametrize("case", TYPED.values(), ids=TYPED)
async def test_typed_contents_are_answered_alike(served: Client, case: Case) -> None:
    stated = [
        tensor(name, x, kind, contents={FIELDS[kind]: x.reshape(-1).tolist()})
        for name, x in case.inputs.items()
        for kind in [datatype(x)]
    ]
    check(case, await served.infer(case.model, {}, inputs=stated))


async def test_every_datatype_but_fp16_has_a_typed_form() -> None:
    missing = set(zoo.DATATYPES) - set(FIELDS)
    assert missing == {"FP16"}


async def test_an_answer_names_the_model_its_version_and_the_request(rpc: Client) -> None:
    answer = await rpc.infer("doubler", {"x": X}, id="seven")
    assert (answer.model_name, answer.model_version, answer.id) == ("doubler", "12", "seven")
    answer = await rpc.infer("doubler", {"x": X}, model_version="1")
    assert (answer.model_version, answer.id) == ("1", "")


async def test_outputs_come_in_the_order_of_the_request(served: Client) -> None:
    two = np.array([[1, 2]], np.float32)
    inputs = {"a": two, "b": two}
    answer = await served.infer("two_in_two_out", inputs, outputs=[{"name": "difference"}])
    assert arrays(answer) == {"difference": [[0, 0]]}
    names = [{"name": "difference"}, {"name": "sum"}]
    answer = await served.infer("two_in_two_out", inputs, outputs=names)
    assert [output.name for output in answer.outputs] == ["difference", "sum"]
    assert arrays(answer) == {"difference": [[0, 0]], "sum": [[2, 4]]}


async def test_inputs_may_come_in_any_order(served: Client) -> None:
    two = np.array([[1, 2]], np.float32)
    answer = await served.infer("two_in_two_out", {"b": two, "a": 3 * two})
    assert arrays(answer) == {"sum": [[4, 8]], "difference": [[2, 4]]}


async def test_the_highest_classes_are_told_by_name(rpc: Client) -> None:
    white = np.full((1, 1, 4, 4), 255, np.float32)
    wanted = {"name": "logits", "parameters": {"classification": {"int64_param": 2}}}
    answer = await rpc.infer("brightness", {"input": white}, outputs=[wanted])
    (output,) = answer.outputs
    assert (output.datatype, list(output.shape)) == ("BYTES", [1, 2])
    assert decoded(output, answer.raw_output_contents[0]).tolist() == [
        [b"15.500000:2:bright", b"5.000000:1:grey"]
    ]


async def test_what_only_asks_how_soon_is_taken(rpc: Client) -> None:
    parameters = {
        "priority": {"uint64_param": 2**63},
        "timeout": {"int64_param": 10_000_000},
        "note": {"string_param": "mine"},
        "nothing": {},
    }
    answer = await rpc.infer("doubler", {"x": X}, parameters=parameters)
    assert arrays(answer) == {"y": [[2, 4, 6]]}


BAD_TENSORS: list[tuple[dict[str, Any], str]] = [
    ({"name": "z"}, "inputs[0].name 'z' is none of 'x'"),
    ({"datatype": "FP64"}, "inputs[0].datatype must be FP32 for 'x', not 'FP64'"),
    ({"datatype": "BF16"}, "inputs[0].datatype must be FP32 for 'x', not 'BF16'"),
    ({"shape": [3]}, "inputs[0].shape must be a list of 2 sizes like [-1, 3]"),
    ({"shape": [1, 4]}, "inputs[0].shape[1] must be 3, not 4"),
    ({"shape": [-1, 3]}, "inputs[0].shape[0] must be a size of 0 or more, not -1"),
    ({"shape": [2, 3]}, "inputs[0] has 12 bytes, [2, 3] of FP32 are 24"),
    ({"shape": [2**62, 3]}, "inputs[0] has 12 bytes, "),
    (
        {"parameters": {"shared_memory_region": {"string_param": "r"}}},
        "inputs[0].parameters.shared_memory_region is not supported",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD_TENSORS)
async def test_a_tensor_that_does_not_fit_is_refused(
    rpc: Client, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(AioRpcError) as caught:
        await rpc.infer("doubler", {"x": X}, inputs=[tensor("x", X) | change])
    code, details = failure(caught)
    assert code is StatusCode.INVALID_ARGUMENT
    assert details.startswith(message)


BAD_REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({"inputs": [], "raw_input_contents": []}, "inputs lacks 'x'"),
    ({"raw_input_contents": []}, "inputs[0] has 0 bytes, [1, 3] of FP32 are 12"),
    (
        {"raw_input_contents": [b"", b""]},
        "raw_input_contents has 2 tensors, inputs has 1",
    ),
    (
        {"inputs": [tensor("x", X, contents={"fp32_contents": [1, 2, 3]})]},
        "the request has both raw_input_contents and contents of an input",
    ),
    (
        {"inputs": [tensor("x", X)] * 2, "raw_input_contents": [X.tobytes()] * 2},
        "inputs[1].name 'x' is there twice",
    ),
    ({"outputs": [{"name": "z"}]}, "outputs[0].name 'z' is none of 'y'"),
    ({"outputs": [{"name": "y"}] * 2}, "outputs[1].name 'y' is there twice"),
    ({"id": "i" * 2000}, "id must be "),
    (
        {"parameters": {"sequence_id": {"int64_param": 1}}},
        "parameters.sequence_id is not supported",
    ),
    (
        {"parameters": {"timeout": {"string_param": "soon"}}},
        "parameters.timeout must be a whole number of 0 or more, not 'soon'",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD_REQUESTS)
async def test_a_request_of_another_form_is_refused(
    rpc: Client, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(AioRpcError) as caught:
        await rpc.infer("doubler", {"x": X}, **change)
    code, details = failure(caught)
    assert code is StatusCode.INVALID_ARGUMENT
    assert details.startswith(message)


BAD_CONTENTS: list[tuple[str, str, list[Any], str]] = [
    (
        "identity_fp32",
        "FP32",
        [{"fp64_contents": [1, 2, 3]}],
        "inputs[0].contents has fp64_contents, FP32 values belong in fp32_contents",
    ),
    (
        "identity_fp32",
        "FP32",
        [{"fp32_contents": [1, 2]}],
        "inputs[0] has 8 bytes, [1, 3] of FP32 are 12",
    ),
    (
        "identity_int8",
        "INT8",
        [{"int_contents": [1, 2, 128]}],
        "inputs[0].contents holds a value beyond INT8",
    ),
    (
        "identity_uint16",
        "UINT16",
        [{"uint_contents": [1, 2, 2**16]}],
        "inputs[0].contents holds a value beyond UINT16",
    ),
    (
        "identity_bytes",
        "BYTES",
        [{"bytes_contents": [b"a", b"b", b"\xff"]}],
        "inputs[0]: element 2 is not UTF-8 text",
    ),
    ("identity_fp16", "FP16", [{}], "inputs[0]: FP16 values come in raw_input_contents alone"),
]


@pytest.mark.parametrize(("model", "datatype", "contents", "message"), BAD_CONTENTS)
async def test_typed_contents_that_do_not_fit_are_refused(
    served: Client, model: str, datatype: str, contents: list[Any], message: str
) -> None:
    inputs = [tensor("x", X, datatype, contents=each) for each in contents]
    with pytest.raises(AioRpcError) as caught:
        await served.infer(model, {}, inputs=inputs)
    assert failure(caught) == (StatusCode.INVALID_ARGUMENT, message)


async def test_an_image_that_is_none_is_refused(rpc: Client) -> None:
    stated = [{"name": "input", "datatype": "BYTES", "shape": [2]}]
    raw = [join_elements([grey(0), b"no image"])]
    with pytest.raises(AioRpcError) as caught:
        await rpc.infer("brightness", {}, inputs=stated, raw_input_contents=raw)
    assert failure(caught)[0] is StatusCode.INVALID_ARGUMENT


async def test_texts_are_no_images_for_a_model_that_takes_none(rpc: Client) -> None:
    stated = [{"name": "x", "datatype": "BYTES", "shape": [1]}]
    with pytest.raises(AioRpcError) as caught:
        await rpc.infer("doubler", {}, inputs=stated, raw_input_contents=[join_elements([grey(0)])])
    assert failure(caught) == (
        StatusCode.INVALID_ARGUMENT,
        "inputs[0].datatype must be FP32 for 'x', not 'BYTES'",
    )


async def test_a_message_as_large_as_a_body_may_be_is_taken_and_no_larger(models: Path) -> None:
    fits = request("doubler", {"x": np.zeros((60, 3), np.float32)})
    async with serving(models, max_body_bytes=1024, max_batch_size=500) as client:
        assert fits.ByteSize() <= 1024
        answer = await client.call("ModelInfer", fits)
        assert len(answer.raw_output_contents[0]) == 720
        with pytest.raises(AioRpcError) as caught:
            await client.infer("doubler", {"x": np.zeros((90, 3), np.float32)})
    assert failure(caught)[0] is StatusCode.RESOURCE_EXHAUSTED


class CountingDecoder(Decoder):
    decoded = 0

    async def decode(self, work: Callable[[], Any], deadline: float) -> Any:
        self.decoded += 1
        return await super().decode(work, deadline)


@pytest.mark.parametrize(("count", "decoded"), [(10, 0), (5000, 1)])
async def test_many_texts_are_read_beside_the_event_loop(
    tmp_path: Path, count: int, decoded: int
) -> None:
    put(tmp_path, "same", 1, identity(onnx.TensorProto.STRING, ("batch", "n")))
    stated = [{"name": "x", "datatype": "BYTES", "shape": [1, count]}]
    raw = [bytes(4 * count)]
    async with serving(tmp_path) as client:
        decoder = service_of(client.app).decoder = CountingDecoder(1, 8)
        answer = await client.infer("same", {}, inputs=stated, raw_input_contents=raw)
        assert answer.raw_output_contents == raw
    assert decoder.decoded == decoded


def wide() -> onnx.ModelProto:
    """Each number 4096 times."""
    return graph_model(
        [helper.make_node("Expand", ["x", "size"], ["y"])],
        [info("x", ("batch", 1))],
        [info("y", ("batch", 4096))],
        [constant("size", [1, 4096], np.int64)],
    )


async def test_an_answer_may_be_larger_than_a_request(models: Path) -> None:
    put(models, "wide", 1, wide())
    async with serving(models, max_body_bytes=1024) as client:
        answer = await client.infer("wide", {"x": np.ones((1, 1), np.float32)})
    assert len(answer.raw_output_contents[0]) == 4 * 4096
