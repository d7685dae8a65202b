"""The body of an inference response."""

from typing import Any

import numpy as np
import pytest

from service.artifact.signature import TensorSpec
from service.errors import OutputNotFinite
from service.wire.inference_request import InferenceRequest
from service.wire.inference_response import InferenceAnswer, write_response
from service.wire.request_outputs import WantedOutput
from tests.service.wire.wire import elements, unpacked

Y = TensorSpec("y", "FP32", ("n", 3))
TEXTS = TensorSpec('te"xt', "BYTES", ("n",))
OUTPUTS: dict[str, Any] = {
    "y": np.array([[1, 5, 4]], np.float32),
    'te"xt': np.array(["ä", ""], object),
}
LABELS = ("a", "b", "c")


def write(*wanted: WantedOutput, request_id: str | None = None, **outputs: Any) -> InferenceAnswer:
    request = InferenceRequest(request_id, {}, None, wanted, None)
    return write_response("digits", "12", request, OUTPUTS | outputs, LABELS)


def test_outputs_are_json_with_the_models_name() -> None:
    answer = write(WantedOutput(Y, False, 0), WantedOutput(TEXTS, False, 0))
    assert answer.header_length is None
    assert unpacked(*answer)[0] == {
        "model_name": "digits",
        "model_version": "12",
        "outputs": [
            {"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [1, 5, 4]},
            {"name": 'te"xt', "datatype": "BYTES", "shape": [2], "data": ["ä", ""]},
        ],
    }


def test_outputs_are_bytes_behind_the_json_in_its_order() -> None:
    document, parts = unpacked(*write(WantedOutput(TEXTS, True, 0), WantedOutput(Y, True, 0)))
    assert document["outputs"] == [
        {
            "name": 'te"xt',
            "datatype": "BYTES",
            "shape": [2],
            "parameters": {"binary_data_size": 10},
        },
        {"name": "y", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}},
    ]
    assert elements(parts[0]) == ["ä".encode(), b""]
    assert parts[1] == OUTPUTS["y"].tobytes()


@pytest.mark.parametrize("first", [True, False])
def test_outputs_are_of_both_forms_in_one_answer(first: bool) -> None:
    document, parts = unpacked(*write(WantedOutput(Y, first, 0), WantedOutput(TEXTS, not first, 0)))
    assert ["data" in each for each in document["outputs"]] == [not first, first]
    assert len(parts) == 1


def test_no_output_but_one_without_values_still_has_a_header_length() -> None:
    answer = write(WantedOutput(Y, True, 0), y=np.zeros((0, 3), np.float32))
    assert answer.header_length == len(answer.body)
    document, parts = unpacked(*answer)
    assert document["outputs"][0]["shape"] == [0, 3]
    assert parts == [b""]


@pytest.mark.parametrize("name", ["", "42", 'ü"\\\n'])
def test_the_id_comes_back(name: str) -> None:
    assert unpacked(*write(WantedOutput(Y, False, 0), request_id=name))[0]["id"] == name
    assert "id" not in unpacked(*write(WantedOutput(Y, False, 0)))[0]


def test_names_are_written_as_json_strings() -> None:
    request = InferenceRequest(None, {}, None, [], None)
    body, length = write_response('a"b', "1", request, {}, None)
    document, _ = unpacked(body, length)
    assert document == {"model_name": 'a"b', "model_version": "1", "outputs": []}


def test_classes_come_as_texts_with_labels_in_both_forms() -> None:
    document, parts = unpacked(*write(WantedOutput(Y, False, 2)))
    assert parts == []
    assert document["outputs"] == [
        {
            "name": "y",
            "datatype": "BYTES",
            "shape": [1, 2],
            "data": ["5.000000:1:b", "4.000000:2:c"],
        }
    ]
    document, parts = unpacked(*write(WantedOutput(Y, True, 2)))
    assert document["outputs"][0]["datatype"] == "BYTES"
    assert elements(parts[0]) == [b"5.000000:1:b", b"4.000000:2:c"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_json_cannot_carry_goes_as_bytes_alone(value: float) -> None:
    odd = np.array([[1, value, 0]], np.float32)
    with pytest.raises(OutputNotFinite, match="output 'y' holds NaN or infinity"):
        write(WantedOutput(Y, False, 0), y=odd)
    _, parts = unpacked(*write(WantedOutput(Y, True, 0), y=odd))
    assert parts[0] == odd.tobytes()
