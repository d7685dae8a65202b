"""The manifest is read strictly and held against the graph."""

import json
from typing import Any

import pytest

from service.artifact.agreement import check_manifest
from service.artifact.manifest import read_manifest
from service.artifact.signature import Signature, TensorSpec
from service.errors import ModelLoadError
from tests.service.zoo import manifest_document, manifest_document_v1

INPUT = TensorSpec("input", "FP32", ("batch", 1, 4, 4))
LOGITS = TensorSpec("logits", "FP32", ("batch", 3))
GRAPH = Signature((INPUT,), (LOGITS,))
PRECISION = {
    "kind": "int8",
    "top1_agreement": 0.995,
    "accuracy_before": 0.9944,
    "accuracy_after": 0.99,
    "samples": 360,
    "split": "test",
    "calibration": "64 samples of the training split",
    "size_before": 696_762,
    "size_after": 180_000,
}


def read(**changes: Any) -> Any:
    return read_manifest(json.dumps(manifest_document() | changes))


def read_v1(**changes: Any) -> Any:
    return read_manifest(json.dumps(manifest_document_v1() | changes))


def changed(field: str, **changes: Any) -> dict[str, Any]:
    return {field: manifest_document()[field] | changes}


def changed_node(**changes: Any) -> dict[str, Any]:
    (node,) = manifest_document()["fold"]["nodes"]
    return changed("fold", nodes=[node | changes])


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


def test_a_manifest_of_the_format_before_is_read_in_its_own_words() -> None:
    manifest = read_v1()
    assert manifest.format_version == 1
    assert manifest.fold.nodes[0].into == "conv"
    assert manifest.model_dump(mode="json") == manifest_document_v1()
    check_manifest(manifest, GRAPH)


@pytest.mark.parametrize("version", [5, 0, "2", None, True, 1.5, 2.0])
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
        (changed("input", layout="HWC"), "input.image.layout"),
        (changed("input", height=0), "input.image.height"),
        (changed("input", height=10**9), "input.image.height"),
        (changed("input", resize_filter="magic"), "input.image.resize_filter"),
        (changed("input", crop_fraction=0), "input.image.crop_fraction"),
        (changed("input", crop_fraction=1.5), "input.image.crop_fraction"),
        (changed("input", kind="sound"), "input"),
        (changed("output", kind="odds"), "output.kind"),
        (changed("fold", bn_after=-1), "fold.bn_after"),
        (changed("fold", mode="reckless"), "fold.mode"),
        (changed("fold", target="tpu"), "fold.target"),
        (changed("fold", latency_ms=3.1), "fold.latency_ms"),
        (changed_node(outcome="vanished"), "fold.nodes.0.outcome"),
        (changed_node(kind="layer_norm"), "fold.nodes.0.kind"),
        (changed_node(into="conv"), "fold.nodes.0.into"),
        ({"precision": PRECISION | {"kind": "fp8"}}, "precision.kind"),
        ({"precision": PRECISION | {"size_after": -1}}, "precision.size_after"),
        (changed("parity", tolerance="small"), "parity.tolerance"),
    ],
)
def test_a_field_that_is_not_as_stated_is_refused_by_its_name(
    change: dict[str, Any], field: str
) -> None:
    with pytest.raises(ModelLoadError, match=f"^the manifest's {field}: "):
        read(**change)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"precision": None}, "precision"),
        ({"fold": manifest_document()["fold"]}, "fold.nodes.0.into"),
        (changed("input", layout="NHWC"), "input.image.layout"),
    ],
)
def test_what_came_with_format_2_is_no_part_of_format_1(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ModelLoadError, match=f"^the manifest's {field}: "):
        read_v1(**change)


def test_narrower_numbers_are_stated_with_what_they_cost() -> None:
    assert read(precision=PRECISION).precision.accuracy_after == 0.99
    unmeasured = dict.fromkeys(("top1_agreement", "accuracy_before", "accuracy_after", "split"))
    assert read(precision=PRECISION | unmeasured).precision.top1_agreement is None


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


def test_pixels_as_they_are_decoded_are_uint8_with_their_channels_last() -> None:
    """A 4 x 6 image, so that no axis can stand in for another."""
    pixels = read(**changed("input", layout="NHWC", width=6))
    graph = Signature((TensorSpec("input", "UINT8", ("batch", 4, 6, 1)),), (LOGITS,))
    assert pixels.input.shape == (4, 6, 1)
    check_manifest(pixels, graph)


@pytest.mark.parametrize(
    ("datatype", "sizes", "message"),
    [
        ("FP32", (4, 6, 1), "input is FP32, an image in NHWC is UINT8"),
        ("UINT8", (1, 4, 6), r"image of the manifest is \[1, 4, 6, 1\]"),
        ("UINT8", (6, 4, 1), r"the graph's input is \[-1, 6, 4, 1\]"),
    ],
)
def test_a_graph_that_cannot_take_decoded_pixels_is_refused(
    datatype: str, sizes: tuple[int, ...], message: str
) -> None:
    graph = Signature((TensorSpec("input", datatype, ("batch", *sizes)),), (LOGITS,))
    with pytest.raises(ModelLoadError, match=message):
        check_manifest(read(**changed("input", layout="NHWC", width=6)), graph)


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


@pytest.mark.parametrize(
    "changes",
    [
        {"x" * 10_000: 1},
        changed("input", name="x" * 10_000),
        changed("output", name="x" * 10_000),
        {"created_by": {"x" * 10_000: 1}},
    ],
)
def test_a_reason_is_of_a_length_that_can_be_shown(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelLoadError) as caught:
        check_manifest(read(**changes), GRAPH)
    assert str(caught.value).startswith("the manifest's ")
    assert len(str(caught.value)) < 600
