"""What the body of an inference request asks for."""

from typing import Any

import numpy as np
import orjson
import pytest

from service.artifact.signature import Signature, TensorSpec
from service.errors import InvalidJSON, InvalidRequest, InvalidTensor
from service.wire.inference_request import (
    InferenceRequest,
    read_document,
    read_header_length,
    read_length,
    read_request,
)
from tests.service.wire.wire import (
    binary_tensor,
    json_tensor,
    little_endian,
    one_input,
    packed,
    prefixed,
)

ONE = np.array([[1, 2]], np.float32)
TENSOR = json_tensor("x", "FP32", ONE)
TWO = Signature(
    (TensorSpec("a", "FP32", ("n", 2)), TensorSpec("b", "INT64", ("n",))),
    (TensorSpec("sum", "FP32", ("n", 2)), TensorSpec("texts", "BYTES", ("n",))),
)


def read(document: Any, signature: Signature | None = None) -> InferenceRequest:
    return read_request(orjson.dumps(document), signature or one_input())


def read_packed(
    document: Any, *parts: bytes, signature: Signature | None = None
) -> InferenceRequest:
    body, length = packed(document, *parts)
    return read_request(body, signature or one_input(), header_length=length)


def asking(**changes: Any) -> dict[str, Any]:
    return {"inputs": [TENSOR]} | changes


def test_json_asks_for_every_output_as_json() -> None:
    request = read(asking())
    assert request.inputs["x"].tolist() == [[1, 2]]
    assert [(each.spec.name, each.binary, each.classes) for each in request.outputs] == [
        ("y", False, 0)
    ]
    assert (request.id, request.images, request.timeout_s) == (None, None, None)


def test_bytes_stand_behind_the_json_and_are_not_copied() -> None:
    for pad in range(4):
        body, length = packed({"inputs": [binary_tensor("x", "FP32", ONE)]}, ONE.tobytes(), pad=pad)
        array = read_request(body, one_input(), header_length=length).inputs["x"]
        assert array.tolist() == [[1, 2]]
        assert array.flags.aligned
        if np.frombuffer(body, np.uint8).ctypes.data % 4 == -length % 4:
            assert np.shares_memory(array, np.frombuffer(body, np.uint8))


def test_a_body_may_be_a_view() -> None:
    body, length = packed({"inputs": [binary_tensor("x", "FP32", ONE)]}, ONE.tobytes())
    view = memoryview(b"!" + body)[1:]
    assert read_request(view, one_input(), header_length=length).inputs["x"].tolist() == [[1, 2]]
    json = memoryview(orjson.dumps(asking()))
    assert read_request(json, one_input()).inputs["x"].tolist() == [[1, 2]]


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize("binary", ["", "a", "b", "ab"])
def test_inputs_come_in_any_order_each_as_json_or_bytes(order: str, binary: str) -> None:
    arrays = {"a": ONE, "b": np.array([2**53 + 1])}
    kinds = {"a": "FP32", "b": "INT64"}
    make = {True: binary_tensor, False: json_tensor}
    tensors = [make[name in binary](name, kinds[name], arrays[name]) for name in order]
    parts = [little_endian(arrays[name]) for name in order if name in binary]
    request = read_packed({"inputs": tensors}, *parts, signature=TWO)
    assert list(request.inputs) == ["a", "b"]
    assert all(np.array_equal(request.inputs[name], arrays[name]) for name in "ab")


def test_texts_come_as_json_or_bytes() -> None:
    texts = np.array([["ä", ""]], object)
    signature = one_input("BYTES")
    document = {"inputs": [binary_tensor("x", "BYTES", texts)]}
    request = read_packed(document, little_endian(texts), signature=signature)
    assert request.inputs["x"].tolist() == [["ä", ""]]
    again = read({"inputs": [json_tensor("x", "BYTES", texts)]}, signature)
    assert again.inputs["x"].tolist() == [["ä", ""]]


@pytest.mark.parametrize("name", ["", "42", "ü", "x" * 1024])
def test_the_id_is_kept(name: str) -> None:
    assert read(asking(id=name)).id == name


@pytest.mark.parametrize(("microseconds", "seconds"), [(1, 1e-6), (2_500_000, 2.5), (0, None)])
def test_a_timeout_is_in_microseconds_and_zero_is_none(
    microseconds: int, seconds: float | None
) -> None:
    assert read(asking(parameters={"timeout": microseconds})).timeout_s == seconds


@pytest.mark.parametrize("default", [None, False, True])
@pytest.mark.parametrize("own", [None, False, True])
def test_an_outputs_own_form_comes_before_the_requests(
    default: bool | None, own: bool | None
) -> None:
    document = asking(
        parameters={"binary_data_output": default},
        outputs=[{"name": "y", "parameters": {"binary_data": own}}],
    )
    assert read(document).outputs[0].binary is bool(default if own is None else own)


def test_the_requests_form_is_that_of_outputs_not_named() -> None:
    outputs = read(asking(parameters={"binary_data_output": True}, outputs=[])).outputs
    assert [each.binary for each in outputs] == [True]


def test_outputs_come_in_the_order_of_the_request_with_their_classes() -> None:
    signature = Signature(one_input().inputs, TWO.outputs)
    outputs = [{"name": "texts"}, {"name": "sum", "parameters": {"classification": 3}}]
    found = read(asking(outputs=outputs), signature).outputs
    assert [(each.spec.name, each.classes) for each in found] == [("texts", 0), ("sum", 3)]


@pytest.mark.parametrize(
    "document",
    [
        asking(parameters={"mood": [1], "priority": "high", "headers": {}, "sequences": 1}),
        asking(parameters=None, outputs=None, id=None),
        asking(inputs=[TENSOR | {"parameters": {"mood": {}, "binary_data_size": None}}]),
        asking(outputs=[{"name": "y", "parameters": {"mood": 1, "classification": 0}}]),
        asking(surprise=1),
    ],
)
def test_what_is_unknown_is_ignored(document: Any) -> None:
    assert read(document).inputs["x"].tolist() == [[1, 2]]


def with_input(**parameters: Any) -> Any:
    return {"inputs": [TENSOR | {"parameters": parameters}]}


def with_output(**parameters: Any) -> Any:
    return asking(outputs=[{"name": "y", "parameters": parameters}])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (asking(parameters=[]), "parameters must be a JSON object"),
        (asking(parameters={"sequence_id": 0}), "parameters.sequence_id is not supported"),
        (asking(parameters={"sequence_start": True}), "parameters.sequence_start is not"),
        (asking(parameters={"triton_x": 1}), "parameters.triton_x is not supported"),
        (asking(parameters={"triton_" + "x" * 999: 1}), "parameters.triton_xxx"),
        (
            with_input(shared_memory_region="r"),
            "inputs[0].parameters.shared_memory_region is not supported",
        ),
        (
            with_output(shared_memory_byte_size=1),
            "outputs[0].parameters.shared_memory_byte_size is not supported",
        ),
        (asking(parameters={"timeout": -1}), "parameters.timeout must be a whole number"),
        (asking(parameters={"timeout": 0.5}), "parameters.timeout must be a whole number"),
        (asking(parameters={"timeout": True}), "parameters.timeout must be a whole number"),
        (asking(parameters={"timeout": "1s"}), "parameters.timeout must be a whole number"),
        (
            asking(parameters={"binary_data_output": 1}),
            "parameters.binary_data_output must be true or false, not 1",
        ),
        (
            with_output(binary_data="yes"),
            "outputs[0].parameters.binary_data must be true or false, not 'yes'",
        ),
        (
            with_output(classification=-1),
            "outputs[0].parameters.classification must be a whole number of 0 or more, not -1",
        ),
        (with_output(classification=True), "outputs[0].parameters.classification must be"),
        (asking(id="x" * 1025), "id must be a string of 1024 characters at most"),
        (asking(id=[]), "id must be a string, not list"),
        (asking(outputs={}), "outputs must be a list"),
        (asking(outputs=0), "outputs must be a list"),
        (asking(outputs=[{"name": "y"}, {"name": "y"}]), "outputs[1].name 'y' is there twice"),
        (asking(inputs=[TENSOR, TENSOR]), "inputs[1].name 'x' is there twice"),
    ],
)
def test_a_request_that_is_wrong_is_refused_by_the_field_that_is(
    document: Any, message: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(document)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("datatype", ["BOOL", "BYTES"])
def test_values_without_an_order_have_no_classes(datatype: str) -> None:
    with pytest.raises(InvalidRequest, match=f"classification: {datatype} values have no order"):
        read(with_output(classification=1), one_input(output=datatype))


@pytest.mark.parametrize(
    ("parameters", "part", "message"),
    [
        ({"binary_data_size": 8}, b"", "binary_data_size is 8, 0 bytes are left"),
        ({"binary_data_size": -8}, b"", "binary_data_size must be a number of bytes, not -8"),
        ({"binary_data_size": 8.0}, b"\0" * 8, "binary_data_size must be a number of bytes"),
        ({"binary_data_size": "8"}, b"\0" * 8, "binary_data_size must be a number of bytes"),
        ({"binary_data_size": True}, b"\0", "binary_data_size must be a number of bytes"),
        ({"binary_data_size": 7}, b"\0" * 7, r"has 7 bytes, \[1, 2\] of FP32 are 8"),
        ({}, b"", "data must be a list of values"),
    ],
)
def test_bytes_that_are_no_tensor_are_refused(parameters: Any, part: bytes, message: str) -> None:
    tensor = binary_tensor("x", "FP32", ONE, parameters=parameters)
    with pytest.raises(InvalidTensor, match=rf"^inputs\[0\].*{message}"):
        read_packed({"inputs": [tensor]}, part)


def test_bytes_that_belong_to_no_input_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="holds 3 bytes behind its last tensor"):
        read_packed(asking(), b"123")


def test_a_size_without_the_header_says_what_is_missing() -> None:
    with pytest.raises(InvalidTensor, match="Inference-Header-Content-Length"):
        read({"inputs": [binary_tensor("x", "FP32", ONE)]})


def test_data_and_bytes_at_once_are_refused() -> None:
    tensor = TENSOR | {"parameters": {"binary_data_size": 8}}
    with pytest.raises(InvalidTensor, match=r"inputs\[0\] has both data and"):
        read_packed({"inputs": [tensor]}, ONE.tobytes())


@pytest.mark.parametrize("length", [1, 5, 40])
def test_a_header_length_inside_the_json_is_refused(length: int) -> None:
    with pytest.raises(InvalidJSON, match="not JSON"):
        read_request(orjson.dumps(asking()), one_input(), header_length=length)


@pytest.mark.parametrize(
    ("value", "length"), [(None, None), (b"0", 0), (b"7", 7), (b"007", 7), (b"10", 10)]
)
def test_the_header_says_how_long_the_json_is(value: bytes | None, length: int | None) -> None:
    assert read_header_length(value, 10) == length


@pytest.mark.parametrize(
    "value",
    [b"", b"-1", b"+1", b"1.0", b"1e1", b" 1", b"0x1", b"1_0", b"9" * 5000, "²".encode(), b"\xb2"],
)
def test_a_header_that_is_no_number_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="Inference-Header-Content-Length must be a number"):
        read_header_length(value, 10)


def test_a_header_beyond_the_body_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="Content-Length is 11, the body has 10 bytes"):
        read_header_length(b"11", 10)


def test_a_document_may_bring_its_bytes_beside_it() -> None:
    document = {"id": "7", "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32"}]}
    request = read_document(document, one_input(), [memoryview(ONE.tobytes())], None)
    assert request.id == "7"
    assert request.inputs["x"].tolist() == [[1, 2]]


def test_a_large_tensor_is_read_in_chunks_to_the_last_value() -> None:
    values = np.arange(200_000, dtype=np.float32)
    document = {"inputs": [json_tensor("x", "FP32", values.reshape(-1, 2))]}
    assert np.array_equal(read(document).inputs["x"].reshape(-1), values)
    document["inputs"][0]["data"][-1] = True
    with pytest.raises(InvalidTensor, match="holds a boolean"):
        read(document)


def test_images_are_no_input_of_a_model_that_takes_none() -> None:
    document = {"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES"}]}
    with pytest.raises(InvalidTensor, match=r"^inputs\[0\]\.datatype must be FP32"):
        read_document(document, one_input(), [memoryview(prefixed(b"jpeg"))], None)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        (b'{"datatype":"FP32"}', False),
        (b'{"datatype":"BYTES"}', True),
        (rb'{"datatype":"B\u0059TES"}', True),
    ],
)
def test_texts_and_images_are_read_one_by_one_and_numbers_are_not(
    text: bytes, counted: bool
) -> None:
    body = text + b"BYTES" * 10
    assert read_length(body, len(text)) == (len(body) if counted else len(text))
    assert read_length(body, None) == len(body)
    assert read_length(body, 0) == 0
