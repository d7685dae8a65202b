"""What every client must find, whatever carries its requests."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.clients import zoo
from tests.clients.documents import Document, array_of
from tests.clients.zoo import Case

CASES = {case.id: case for case in zoo.cases()}
MODELS = {case.model: case for case in CASES.values()}

# How a request of `conversation.requests` ends: with these values, or an error of this HTTP
# status that begins so.
REQUESTS: Mapping[str, Any] = {
    "fine": [[2, 4, 6]],
    "first version": [[1, 2, 3]],
    "last version": [[2, 4, 6]],
    "priority": [[2, 4, 6]],
    "in time": [[2, 4, 6]],
    "too late": (504, "the request was not answered in time"),
    "wrong rank": (400, "inputs[0].shape must be a list of 2 sizes like [-1, 3]"),
    "wrong size": (400, "inputs[0].shape[1] must be 3, not 4"),
    "wrong name": (400, "inputs[0].name 'z' is none of 'x'"),
    "wrong datatype": (400, "inputs[0].datatype must be FP32 for 'x', not 'FP64'"),
    "too many rows": (400, "the request has 33 rows, a run takes 32"),
    "no image": (415, "the body is not a JPEG, PNG or WebP image"),
    "unknown output": (400, "outputs[0].name 'nothing' is none of 'y'"),
    "unknown model": (404, "there is no model of this name"),
    "unknown version": (404, "model versions has no such version; it has 1, 2"),
    "sequence": (400, "parameters.sequence_"),
    "no metadata": (404, "there is no model of this name"),
}


def check_answer(case: Case, answer: Document) -> None:
    """A model's answer is the case's, to the bit, and says whose it is."""
    assert (answer["model_name"], answer["id"]) == (case.model, case.id)
    assert answer["model_version"] == ("2" if case.model == "versions" else "1")
    check_outputs(case, answer["outputs"])


def check_outputs(case: Case, outputs: Document) -> None:
    """They are the case's, bit for bit."""
    assert list(outputs) == list(case.outputs)
    for name, expected in case.outputs.items():
        found = array_of(outputs[name])
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)


def check_metadata(case: Case, metadata: Document) -> None:
    """The signature is the graph's."""
    assert (metadata["name"], metadata["platform"]) == (case.model, "onnx_onnxv1")
    assert metadata["versions"] == (["1", "2"] if case.model == "versions" else ["1"])
    for field, infos in (("inputs", case.graph.graph.input), ("outputs", case.graph.graph.output)):
        stated = [(each["name"], each["datatype"], sizes(each)) for each in metadata[field]]
        assert stated == [(info.name, *zoo.signature(info)) for info in infos]


def sizes(tensor: Document) -> list[int]:
    """The shape; gRPC's JSON form writes 64-bit integers as strings, and nothing for none."""
    return [int(size) for size in tensor.get("shape", [])]


def check_several(several: Document) -> None:
    """Outputs by name and in order, classes, and the id of the request."""
    assert several["one"].pop("missing")
    assert array_of(several["one"]["difference"]).tolist() == [[-2, -3]]
    assert several["order"] == ["difference", "sum"]
    assert array_of(several["two"]["sum"]).tolist() == [[4, 7]]
    assert several["id"] == {"model_name": "two_in_two_out", "model_version": "1", "id": "seven"}
    assert array_of(several["classes"]).tolist() == [
        [b"10.000000:0:dark", b"5.000000:1:grey"],
        [b"15.500000:2:bright", b"5.000000:1:grey"],
    ]
