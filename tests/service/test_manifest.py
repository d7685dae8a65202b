"""The manifest is read strictly and held against the graph."""

import json
from typing import Any

import pytest

from service.errors import ModelLoadError
from service.manifest import check_manifest, read_manifest
from service.signature import Signature, TensorSpec
from tests.service.zoo import manifest_document

INPUT = TensorSpec("input", "FP32", ("batch", 1, 4, 4))
LOGITS = TensorSpec("logits", "FP32", ("batch", 3))
GRAPH = Signature((INPUT,), (LOGITS,))


def read(**changes: Any) -> Any:
    return read_manifest(json.dumps(manifest_document() | changes))


def changed(field: str, **changes: Any) -> dict[str, Any]:
    return {field: manifest_document()[field] | changes}


def test_a_manifest_as_the_contract_states_it_is_read_and_fits_its_graph() -> None:
    manifest = read()
    assert manifest.labels == ("dark", "grey", "bright")
    assert manifest.image is not None
    assert manifest.image.crop_fraction is None
    check_manifest(manifest, GRAPH)


def test_a_tensor_model_has_no_image() -> None:
    signal = {"name": "input", "kind": "tensor", "value_range": None}
    assert read(input=signal, task="classification").image is None
    assert read(input=None, output=None, labels=None, task="tensor").image is None


def test_an_image_in_without_classes_out_is_not_to_be_classified() -> None:
    assert read(output={"name": "logits", "kind": "tensor"}).image is None


@pytest.mark.parametrize("version", [2, 0, "1", None, True, 1.5])
def test_an_unknown_format_version_is_refused_by_its_value(version: Any) -> None:
    with pytest.raises(ModelLoadError, match=f"format_version {json.dumps(version)} is unknown"):
        read(format_version=version)


@pytest.mark.parametrize("text", ["{", "[1]", "", "[" * 100_000])
def test_a_text_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(ModelLoadError, match="the manifest is not"):
        read_manifest(text)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"surprise": 1}, "surprise"),
        ({"version": 0}, "version"),
        ({"version": "1"}, "version"),
        ({"task": "dance"}, "task"),
        ({"labels": [1, 2, 3]}, "labels.0"),
        (changed("input", layout="NHWC"), "input.image.layout"),
        (changed("input", height=0), "input.image.height"),
        (changed("input", height=10**9), "input.image.height"),
        (changed("input", resize_filter="magic"), "input.image.resize_filter"),
        (changed("input", crop_fraction=0), "input.image.crop_fraction"),
        (changed("input", crop_fraction=1.5), "input.image.crop_fraction"),
        (changed("input", kind="sound"), "input"),
        (changed("output", kind="odds"), "output.kind"),
        (changed("fold", bn_after=-1), "fold.bn_after"),
        (changed("parity", tolerance="small"), "parity.tolerance"),
    ],
)
def test_a_field_that_is_not_as_stated_is_refused_by_its_name(
    change: dict[str, Any], field: str
) -> None:
    with pytest.raises(ModelLoadError, match=f"^the manifest's {field}: "):
        read(**change)


def test_a_missing_field_is_refused_by_its_name() -> None:
    document = manifest_document()
    del document["parity"]
    with pytest.raises(ModelLoadError, match=r"^the manifest's parity: Field required"):
        read_manifest(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed("input", name="image"), "input 'image' is not in the graph"),
        (changed("output", name="odds"), "output 'odds' is not in the graph"),
        (changed("input", height=5), r"image of the manifest is \[1, 1, 5, 4\]"),
        (changed("input", color="RGB"), "color RGB does not have 1 channels"),
        ({"labels": ["a", "b"]}, "2 labels for an output of shape"),
    ],
)
def test_a_manifest_that_contradicts_its_graph_is_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelLoadError, match=message):
        check_manifest(read(**change), GRAPH)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (Signature((INPUT, TensorSpec("b", "FP32", (1,))), (LOGITS,)), "several inputs"),
        (Signature((TensorSpec("input", "UINT8", INPUT.shape),), (LOGITS,)), "is UINT8"),
        (Signature((TensorSpec("input", "FP32", ("n", 1, 16)),), (LOGITS,)), "graph's input is"),
        (Signature((INPUT,), (TensorSpec("logits", "FP32", ("n", 3, 1)),)), "a row of classes"),
        (Signature((INPUT,), (TensorSpec("logits", "FP32", (4, 3)),)), "a row of classes"),
        (Signature((INPUT,), (TensorSpec("logits", "BYTES", ("n", 3)),)), "logits are floats"),
        (Signature((TensorSpec("input", "FP32", (4, 1, 4, 4)),), (LOGITS,)), "graph's input is"),
    ],
)
def test_a_graph_that_cannot_take_the_image_is_refused(graph: Signature, message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        check_manifest(read(), graph)


def test_sizes_that_the_graph_leaves_open_fit_any_manifest() -> None:
    graph = Signature(
        (TensorSpec("input", "FP32", ("batch", None, "h", "w")),),
        (TensorSpec("logits", "FP32", ("batch", None)),),
    )
    check_manifest(read(), graph)


def test_a_signal_classifier_needs_only_its_names_and_labels() -> None:
    graph = Signature((TensorSpec("input", "FP32", ("n", 1, 40)),), (LOGITS,))
    signal = {"name": "input", "kind": "tensor", "value_range": [-5.0, 5.0]}
    check_manifest(read(input=signal, task="classification"), graph)
    with pytest.raises(ModelLoadError, match="2 labels"):
        check_manifest(read(input=signal, labels=["a", "b"]), graph)


def test_a_tensor_output_says_nothing_of_labels() -> None:
    check_manifest(read(output={"name": "logits", "kind": "tensor"}, labels=["a"]), GRAPH)
    check_manifest(read(input=None, output=None), GRAPH)
