"""Requests that are read again and again."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifact.signature import Signature, TensorSpec
from service.errors import InvalidJSON, InvalidRequest, InvalidTensor, ServiceError
from service.wire.inference_request import InferenceRequest, read_request
from service.wire.request_reader import RequestReader
from tests.service.wire.wire import (
    IMAGE,
    NUMERIC,
    binary_tensor,
    json_tensor,
    little_endian,
    one_input,
    packed,
    random_array,
)


def values(request: InferenceRequest) -> Any:
    """All of a request, comparable."""
    inputs = [(name, array.dtype, array.tolist()) for name, array in request.inputs.items()]
    return inputs, request.id, request.images, request.outputs, request.timeout_s


def body_of(array: Any, datatype: str = "FP32", pad: int = 0, **more: Any) -> tuple[bytes, int]:
    document = {"inputs": [binary_tensor("x", datatype, array)]} | more
    return packed(document, little_endian(array), pad=pad)


@pytest.mark.parametrize("datatype", [*NUMERIC, "BYTES"])
@pytest.mark.parametrize("pad", range(8))
def test_the_second_of_a_kind_is_read_as_the_first(datatype: str, pad: int) -> None:
    signature = one_input(datatype)
    reader = RequestReader(signature, None)
    for seed in range(3):
        array = np.array([["a", "b"]], object)
        if datatype != "BYTES":
            array = random_array(datatype, (1, 2), seed)
        body, length = body_of(array, datatype, pad)
        found = reader.read(body, length)
        assert values(found) == values(read_request(body, signature, header_length=length))
        assert found.inputs["x"].flags.aligned


def test_kinds_are_told_apart() -> None:
    reader = RequestReader(one_input(), None)
    asking: list[dict[str, Any]] = [
        {},
        {"parameters": {"timeout": 7, "binary_data_output": True}},
        {"outputs": [{"name": "y", "parameters": {"classification": 2}}]},
        {"id": ""},
        {"id": "7"},
        {"id": "8"},
    ]
    for more in asking * 3:
        for rows in (1, 3, 0):
            body, length = body_of(np.full((rows, 2), rows, np.float32), **more)
            expected = read_request(body, one_input(), header_length=length)
            assert values(reader.read(body, length)) == values(expected)


def test_what_is_known_holds_no_body_but_its_own() -> None:
    reader = RequestReader(one_input(), None)
    first, second = (np.full((1, 2), value, np.float32) for value in (1, 2))
    kept = [reader.read(*body_of(array)).inputs["x"] for array in (first, second, first)]
    assert [array.tolist() for array in kept] == [[[1, 1]], [[2, 2]], [[1, 1]]]


def test_a_known_header_with_another_number_of_bytes_is_refused() -> None:
    reader = RequestReader(one_input(), None)
    body, length = body_of(np.ones((1, 2), np.float32))
    reader.read(body, length)
    with pytest.raises(InvalidTensor, match="0 bytes are left"):
        reader.read(body[:length], length)
    with pytest.raises(InvalidRequest, match="holds 1 bytes behind its last tensor"):
        reader.read(body + b"!", length)


def test_a_known_kind_of_booleans_is_looked_at_each_time() -> None:
    reader = RequestReader(one_input("BOOL"), None)
    body, length = body_of(np.ones((1, 2), np.bool_), "BOOL")
    reader.read(body, length)
    with pytest.raises(InvalidTensor, match="neither 0 nor 1"):
        reader.read(body[:-1] + b"\2", length)


def test_json_raw_bodies_and_images_are_read_as_ever() -> None:
    array = np.ones((1, 1, 2, 2), np.float32)
    spec = TensorSpec("x", "FP32", ("n", 1, 2, 2))
    reader = RequestReader(Signature((spec,), one_input().outputs), IMAGE)
    document = {"inputs": [json_tensor("x", "FP32", array)]}
    image = {"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}}
    for _ in range(2):
        assert reader.read(packed(document)[0], None).inputs["x"].tolist() == array.tolist()
        assert reader.read(*packed(document)).inputs["x"].tolist() == array.tolist()
        assert reader.read(b"jpeg", 0).images == [b"jpeg"]
        assert reader.read(*packed({"inputs": [image]}, b"\1\0\0\0a")).images == [b"a"]


def test_several_inputs_are_read_as_ever() -> None:
    specs = tuple(TensorSpec(name, "FP32", ("n",)) for name in "ab")
    reader = RequestReader(Signature(specs, one_input().outputs), None)
    for value in (1, 2):
        array = np.full(2, value, np.float32)
        tensors = [binary_tensor(name, "FP32", array) for name in "ba"]
        found = reader.read(*packed({"inputs": tensors}, *[little_endian(array)] * 2))
        assert {name: each.tolist() for name, each in found.inputs.items()} == {
            "a": [value, value],
            "b": [value, value],
        }


def test_requests_with_much_around_their_values_are_read_as_ever() -> None:
    reader = RequestReader(one_input(), None)
    for value in (1, 2):
        array = np.full((1, 2), value, np.float32)
        more: dict[str, Any] = {"parameters": {"mood": "x" * 2000}}
        text = json.dumps({"inputs": [json_tensor("x", "FP32", array)]} | more).encode()
        assert reader.read(text, None).inputs["x"].tolist() == array.tolist()
        assert reader.read(*body_of(array, **more)).inputs["x"].tolist() == array.tolist()


def test_a_model_without_inputs_has_requests_too() -> None:
    reader = RequestReader(Signature((), one_input().outputs), None)
    assert reader.read(b'{"inputs":[]}', None).inputs == {}
    assert reader.read(b'{"inputs":[]}', 13).inputs == {}


def test_many_kinds_are_read_though_few_are_kept() -> None:
    reader = RequestReader(one_input(), None)
    for timeout in [*range(1, 200)] * 2:
        body, length = body_of(np.ones((1, 2), np.float32), parameters={"timeout": timeout})
        assert reader.read(body, length).timeout_s == pytest.approx(timeout * 1e-6)


ROW = [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, -2]}]
TEXTS = [
    # The forms that clients write, and some that none does.
    json.dumps({"inputs": ROW}),
    json.dumps({"inputs": ROW}, separators=(",", ":")),
    json.dumps({"inputs": ROW, "outputs": [{"name": "y"}], "parameters": {"timeout": 5}}),
    json.dumps({"outputs": [{"name": "y"}], "id": "", "inputs": ROW}),
    json.dumps({"inputs": [dict(reversed(ROW[0].items()))]}),
    json.dumps({"inputs": [ROW[0] | {"parameters": {"mood": 1}}]}),
    json.dumps({"data": [1, 2], "inputs": ROW}),
    json.dumps({"mood": {"data": [1, 2]}, "inputs": ROW}),
    json.dumps({"inputs": ROW, "data": [1, 2]}),
    json.dumps({"id": '"data":[1,2]}', "inputs": ROW}),
    json.dumps({"mood": '"data":', "inputs": ROW}),
    '{"inputs":[{"data":[1,2],"name":"x","shape":[1,2],"datatype":"FP32"}]}',
    '{"inputs":[{"data":[1],"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}',
    '{"inputs":[],"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}',
    '{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[[1,2]]}]}',
    '{"mood":"\\"data\\":[","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}',
]
VALUES = [
    *("[3,4]", "[[3,4]]", " [3, 4] ", "[]", "[3]", "[3,4,5]", "[3,true]", "[3,1e39]", "null", "3"),
    *("[3,4", "3,4]", "[3,4]]", "[3,4]}", "[3,4],", '[3,4],"shape":[2,2]', '[3,4],"id":"7"'),
    *('[3,4],"data":[5,6]', '["}",4]', "[NaN,1]", "", "[3,4]}],", '{"b64":"YQ=="}', '"[3,4]"'),
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("value", VALUES)
def test_json_around_other_values_is_read_as_by_itself(text: str, value: str) -> None:
    reader = RequestReader(one_input(), None)
    first = outcome(reader.read, text.encode(), None)
    assert first == outcome(alone, text.encode(), None)
    for old in ("[1.5, -2]", "[1.5,-2]", "[1, 2]", "[1,2]", "[[1,2]]", "[1]"):
        other = text.replace(old, value).encode()
        assert outcome(reader.read, other, None) == outcome(alone, other, None)


def test_what_stood_behind_the_values_is_missed_when_it_is_missing() -> None:
    reader = RequestReader(one_input(), None)
    whole = b'{"inputs":[{"data":[1,2],"name":"x","shape":[1,2],"datatype":"FP32"}]}'
    assert reader.read(whole, None).inputs["x"].tolist() == [[1, 2]]
    with pytest.raises(InvalidRequest, match="name None"):
        reader.read(b'{"inputs":[{"data":[1,2]}]}', None)


PIECES = st.sampled_from(
    [*"[]{},:", '"data":', '"inputs":', '"shape":', '"x"', '"', "[1,2]", "null", "1", " ", "\\"]
)


@given(
    st.lists(
        st.tuples(st.sampled_from(TEXTS), st.integers(0, 150), st.integers(0, 9), PIECES),
        max_size=6,
    )
)
def test_after_any_json_any_other_is_read_as_by_itself(
    requests: list[tuple[str, int, int, str]],
) -> None:
    reader = RequestReader(one_input(), None)
    for text, start, length, piece in requests:
        for body in (text, text[:start] + piece + text[start + length :]):
            found = outcome(reader.read, body.encode(), None)
            assert found == outcome(alone, body.encode(), None)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200), st.binary(max_size=9)), max_size=6)
)
def test_after_any_requests_any_other_is_read_as_by_itself(
    requests: list[tuple[int, int, bytes]],
) -> None:
    reader = RequestReader(one_input(), None)
    for rows, cut, more in requests:
        body, length = body_of(np.ones((rows, 2), np.float32))
        for whole in (body, body[:cut] + more + body[cut:], body + more):
            assert outcome(reader.read, whole, length) == outcome(alone, whole, length)


def alone(body: bytes, length: int | None) -> InferenceRequest:
    return read_request(body, one_input(), header_length=length)


def outcome(read: Any, body: bytes, length: int | None) -> Any:
    try:
        return values(read(body, length))
    except ServiceError as error:
        return type(error), str(error)


def test_a_header_that_is_no_json_is_refused_each_time() -> None:
    reader = RequestReader(one_input(), None)
    for _ in range(2):
        with pytest.raises(InvalidJSON):
            reader.read(b"{nonsense", 9)
