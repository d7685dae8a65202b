"""TensorFlow Serving's requests to arrays and back."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from service.artifact.manifest import ImageInput, read_manifest
from service.artifact.signature import Signature, TensorSpec
from service.errors import InvalidJSON, InvalidRequest, InvalidTensor, OutputNotFinite
from service.wire.v1_request import V1Request, read_v1_request
from service.wire.v1_response import write_v1_response
from tests.service import zoo

ONE = Signature((TensorSpec("x", "FP32", ("n", 2)),), (TensorSpec("y", "FP32", ("n", 2)),))
# The three inputs of the example in TensorFlow Serving's documents.
SEVERAL = Signature(
    (
        TensorSpec("tag", "BYTES", ("n",)),
        TensorSpec("signal", "INT64", ("n", 5)),
        TensorSpec("sensor", "FP32", ("n", 2, 2)),
    ),
    (TensorSpec("score", "FP32", ("n",)), TensorSpec("class_bytes", "BYTES", ("n",))),
)
TEXTS = Signature((TensorSpec("t", "BYTES", ("n",)),), ())
SCALAR = Signature((TensorSpec("s", "FP32", ()),), ())


def read(document: Any, signature: Signature = ONE, image: ImageInput | None = None) -> V1Request:
    return read_v1_request(json.dumps(document).encode(), signature, image)


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def image_input() -> ImageInput:
    image = read_manifest(json.dumps(zoo.manifest_document())).image
    assert image is not None
    return image


def image_signature() -> Signature:
    return Signature((TensorSpec("input", "FP32", ("n", 1, 4, 4)),), ())


def test_instances_of_one_input_are_its_rows() -> None:
    request = read({"instances": [[1, 2], [3, 4.5], [5, 6]]})
    assert request.rows == 3
    assert request.inputs["x"].tolist() == [[1, 2], [3, 4.5], [5, 6]]
    assert request.inputs["x"].dtype == np.float32


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_rows_and_columns_of_several_inputs_are_the_same_arrays(form: str) -> None:
    rows: list[dict[str, Any]] = [
        {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
        {"tag": b64(b"bar"), "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
    ]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    request = read({form: rows if form == "instances" else columns}, SEVERAL)
    assert request.rows == (2 if form == "instances" else None)
    assert request.inputs["tag"].tolist() == ["foo", "bar"]
    assert request.inputs["signal"].tolist() == [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]]
    assert request.inputs["sensor"].shape == (2, 2, 2)


def test_one_input_may_be_named_as_well() -> None:
    named = read({"instances": [{"x": [1, 2]}, {"x": [3, 4]}]})
    columns = read({"inputs": {"x": [[1, 2], [3, 4]]}})
    assert named.inputs["x"].tolist() == columns.inputs["x"].tolist() == [[1, 2], [3, 4]]


def test_a_column_may_be_a_single_value() -> None:
    assert read({"inputs": 2.5}, SCALAR).inputs["s"] == np.float32(2.5)


def test_the_name_of_the_signature_makes_no_difference() -> None:
    assert read({"signature_name": "serving_default", "instances": [[1, 2]]}).rows == 1


def test_bytes_are_base64_or_text() -> None:
    request = read({"instances": [b64("naïve".encode()), "plain"]}, TEXTS)
    assert request.inputs["t"].tolist() == ["naïve", "plain"]


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_images_are_base64_where_the_model_takes_images(form: str) -> None:
    request = read({form: [b64(b"one"), b64(b"two")]}, image_signature(), image_input())
    assert request.images == [b"one", b"two"]
    assert not request.inputs


def test_a_named_image_is_one_too() -> None:
    request = read({"instances": [{"input": b64(b"one")}]}, image_signature(), image_input())
    assert (request.rows, request.images) == (1, [b"one"])
    alone = read({"inputs": b64(b"one")}, image_signature(), image_input())
    assert (alone.rows, alone.images) == (None, [b"one"])


def test_an_image_may_be_its_pixels() -> None:
    request = read({"instances": np.zeros((2, 1, 4, 4)).tolist()}, image_signature(), image_input())
    assert request.images is None
    assert request.inputs["input"].shape == (2, 1, 4, 4)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "must be a JSON object"),
        ({}, "either instances or inputs"),
        ({"instances": [[1, 2]], "inputs": [[1, 2]]}, "either instances or inputs"),
        ({"instances": []}, "list of one or more"),
        ({"instances": {"x": [[1, 2]]}}, "list of one or more"),
        ({"instances": [[1, 2], {"x": [1, 2]}]}, "all name the same inputs"),
        ({"instances": [{}]}, "lacks 'x'"),
        ({"instances": [{"z": [1, 2]}]}, "lacks 'x'"),
        ({"inputs": {"x": [[1, 2]], "z": 1}}, "names 'z'"),
    ],
)
def test_another_form_is_refused(document: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        read(document)


def test_several_inputs_must_be_named() -> None:
    with pytest.raises(InvalidRequest, match="each must be named: 'tag', 'signal', 'sensor'"):
        read({"instances": [[1, 2]]}, SEVERAL)


@pytest.mark.parametrize(
    ("instances", "words"),
    [
        ([1, 2], "instances.x is nested 1 deep, the shape is"),
        ([[1, 2, 3]], "must be 2, not 3"),
        ([[1, 2], [3]], "lists of 2"),
        ([[1, [2]]], "a list"),
        ([[1, None]], "null"),
        ([["1", "2"]], "a string"),
        ([[True, False]], "a boolean"),
        ([[{"b64": "AAAA"}, 1]], "an object"),
        ([[1e39, 1]], "beyond FP32"),
        ([b64(b"x")], "nested 1 deep"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused(instances: Any, words: str) -> None:
    with pytest.raises(InvalidTensor, match=words):
        read({"instances": instances})


@pytest.mark.parametrize(
    ("instances", "words"),
    [
        ([{"b64": "not base64!"}], "not base64"),
        ([{"b64": 5}], "where others are"),
        ([b64(b"one"), [[[0] * 4] * 4]], "where others are"),
    ],
)
def test_an_image_that_is_no_base64_is_refused(instances: Any, words: str) -> None:
    with pytest.raises(InvalidTensor, match=words):
        read({"instances": instances}, image_signature(), image_input())


def test_bytes_that_are_no_text_are_refused_where_a_graph_takes_strings() -> None:
    with pytest.raises(InvalidTensor, match="not UTF-8"):
        read({"instances": [b64(b"\xff")]}, TEXTS)


def test_deep_nesting_is_refused_like_any_other() -> None:
    deep = json.loads("[" * 900 + "]" * 900)
    with pytest.raises(InvalidTensor):
        read({"instances": ["text", deep]}, TEXTS)


@pytest.mark.parametrize("body", [b"{", b"", b'{"instances": [NaN]}'])
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJSON):
        read_v1_request(body, ONE)


def written(rows: int | None, signature: Signature, **outputs: Any) -> Any:
    return json.loads(write_v1_response(rows, signature.outputs, outputs))


def test_one_output_goes_without_its_name() -> None:
    y = np.array([[1, 2], [3, 0.1]], np.float32)
    assert written(2, ONE, y=y) == {"predictions": [[1, 2], [3, 0.1]]}
    assert written(None, ONE, y=y) == {"outputs": [[1, 2], [3, 0.1]]}


def test_several_outputs_are_objects_row_by_row_or_one_object() -> None:
    outputs = {
        "score": np.array([0.5, 0.1], np.float32),
        "class_bytes": np.array(["a", "b"], object),
    }
    assert written(2, SEVERAL, **outputs) == {
        "predictions": [
            {"score": 0.5, "class_bytes": b64(b"a")},
            {"score": 0.1, "class_bytes": b64(b"b")},
        ]
    }
    assert written(None, SEVERAL, **outputs) == {
        "outputs": {"score": [0.5, 0.1], "class_bytes": [b64(b"a"), b64(b"b")]}
    }


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint64", "bool"])
def test_every_kind_of_number_can_be_written(dtype: str) -> None:
    signature = Signature((), (TensorSpec("a", "FP32", ("n",)), TensorSpec("b", "FP32", ("n", 1))))
    a = np.array([0, 1], dtype)
    assert written(2, signature, a=a, b=a.reshape(2, 1)) == {
        "predictions": [{"a": 0, "b": [0]}, {"a": 1, "b": [1]}]
    }


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint64", "bool"])
def test_an_output_without_dimensions_is_a_number(dtype: str) -> None:
    assert written(None, ONE, y=np.array(1, dtype)) == {"outputs": 1}


def test_strings_go_as_text() -> None:
    signature = Signature((), (TensorSpec("t", "BYTES", ("n", 2)),))
    texts = np.array([["a", "ü"]], object)
    assert written(1, signature, t=texts) == {"predictions": [["a", "ü"]]}


def test_a_view_of_another_order_is_written_in_its_own() -> None:
    assert written(None, ONE, y=np.array([[1, 3], [2, 4]], np.float32).T) == {
        "outputs": [[1, 2], [3, 4]]
    }


@pytest.mark.parametrize("y", [np.zeros((3, 2)), np.float32(1)])
def test_an_output_without_a_row_for_each_instance_needs_columns(y: Any) -> None:
    with pytest.raises(InvalidRequest, match='ask with "inputs"'):
        written(2, ONE, y=np.asarray(y))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_json_cannot_carry_is_an_error(value: float) -> None:
    with pytest.raises(OutputNotFinite, match="'y'"):
        written(1, ONE, y=np.array([[value, 0]], np.float32))
