"""From a source to an artifact; what fails leaves no file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime  # type: ignore[import-untyped]  # the wheel has no types
import pytest

from export import manifest, pipeline
from export.artifact import Place
from export.errors import ArtifactError, NothingFoldedError, ParityError, SourceError, UsageError
from export.folding import AffineOutcome, Folded, fold
from export.pipeline import Built, ParityOptions
from export.sources.options import SourceOptions
from tests.export.checkpoints import METRICS, write_checkpoint
from tests.export.graphs import bn, count, model, norm, normal

pytestmark = pytest.mark.slow

SMALL = "tests.export.networks:small"
SHAPE = SourceOptions(input_shape=(3, 8, 8))
FEW = ParityOptions(samples=6)


def build_small(repository: Path, **options: Any) -> Built:
    return pipeline.build(SMALL, Place(repository, "small", 1), SHAPE, FEW, **options)


def read_manifest(path: Path) -> dict[str, Any]:
    (entry,) = (one for one in onnx.load(path).metadata_props if one.key == manifest.KEY)
    described: dict[str, Any] = json.loads(entry.value)
    return described


def onnx_file(path: Path, outputs: int = 4, last: str = "Identity") -> Path:
    arrays = {"w": normal(outputs, 3, dtype=np.float32), **norm(outputs, dtype=np.float32)}
    proto = model(
        f"c = Gemm<transB=1>(data, w) {bn('c', 'z')} scores = {last}(z)",
        arrays,
        inputs="float[rows,3] data",
        outputs=f"float[rows,{outputs}] scores",
    )
    onnx.save(proto, path)
    return path


def test_a_factory_becomes_an_artifact_without_batch_norm(tmp_path: Path) -> None:
    built = build_small(tmp_path)

    written = onnx.load(built.path)
    assert built.path == tmp_path / "small" / "1" / "model.onnx"
    assert count(written, "BatchNormalization") == 0
    assert written.ir_version <= 10
    assert 17 <= written.opset_import[0].version <= 20
    assert read_manifest(built.path) == built.manifest


def test_the_artifact_computes_what_the_original_does_for_any_batch(tmp_path: Path) -> None:
    built = build_small(tmp_path)
    assert built.original.reference is not None
    session = onnxruntime.InferenceSession(built.path, providers=["CPUExecutionProvider"])

    for rows in (1, 5):
        x = normal(rows, 3, 8, 8, dtype=np.float32)
        (expected,) = built.original.reference({"input": x})
        # Two float32 layers: some ten roundings of 6e-8.
        assert np.abs(session.run(None, {"input": x})[0] - expected).max() < 1e-6


def test_the_same_source_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = build_small(tmp_path / "a"), build_small(tmp_path / "b")

    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_corrupted_fold_fails_verification_and_leaves_no_file(tmp_path: Path) -> None:
    def corrupted(original: ir.Model, _: Mapping[str, str]) -> Folded[ir.Model]:
        folded = fold(original, "safe")
        (conv,) = (node for node in folded.model.graph if node.op_type == "Conv")
        bias = conv.inputs[2]
        assert bias is not None
        assert bias.const_value is not None
        bias.const_value = ir.tensor(bias.const_value.numpy() * np.float32(1.001))
        return folded

    with pytest.raises(ParityError, match="beyond the tolerance"):
        build_small(tmp_path, fold_model=corrupted)

    assert list(tmp_path.iterdir()) == []


def test_a_batch_norm_that_stays_for_the_digits_is_no_failed_fold(tmp_path: Path) -> None:
    """The first fold took it in, and was further off than the unfolded model by more than half."""

    def strained(original: ir.Model, keep: Mapping[str, str]) -> Folded[ir.Model]:
        folded = fold(original, "safe", keep=keep)
        if keep:
            return folded
        (conv,) = (node for node in folded.model.graph if node.op_type == "Conv")
        bias = conv.inputs[2]
        assert bias is not None
        assert bias.const_value is not None
        bias.const_value = ir.tensor(bias.const_value.numpy() * np.float32(1 + 1e-5))
        return replace(folded, report=replace(folded.report, strains={"bn": 3.0}))

    built = build_small(tmp_path, fold_model=strained)

    assert built.report.bn_after == 1
    assert "as far off float64" in str(built.report.nodes[0].reason)


def test_a_fold_that_breaks_the_model_leaves_no_file(tmp_path: Path) -> None:
    def broken(original: ir.Model, _: Mapping[str, str]) -> Folded[ir.Model]:
        folded = fold(original, "safe")
        folded.model.graph[0].op_type = "Reelu"
        return folded

    with pytest.raises(ArtifactError, match="the model is not valid"):
        build_small(tmp_path, fold_model=broken)

    assert list(tmp_path.iterdir()) == []


def test_an_existing_version_is_replaced_only_by_force(tmp_path: Path) -> None:
    built = build_small(tmp_path)
    before = built.path.read_bytes()

    with pytest.raises(UsageError, match="or --force"):
        pipeline.build("nothing:here", Place(tmp_path, "small", 1))
    assert built.path.read_bytes() == before

    other = ParityOptions(samples=6, seed=1)
    pipeline.build(SMALL, Place(tmp_path, "small", 1), SHAPE, other, force=True)
    assert built.path.read_bytes() != before


def test_a_network_in_which_nothing_folds_is_an_error_that_names_the_way_out(
    tmp_path: Path,
) -> None:
    source, place = "tests.export.networks:activation_first", Place(tmp_path, "k", 1)

    with pytest.raises(NothingFoldedError) as caught:
        pipeline.build(source, place, SHAPE, FEW, mode="safe")

    assert "bn: backward: Relu 'node_relu' would have to become" in str(caught.value)
    assert "--allow-unfolded" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    built = pipeline.build(source, place, SHAPE, FEW, mode="safe", allow_unfolded=True)
    assert built.manifest["fold"]["bn_after"] == built.manifest["fold"]["bn_before"] == 1
    assert built.manifest["fold"]["nodes"][0]["outcome"] == "kept"


def test_a_network_without_batch_norm_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model("y = Relu(x)", {}, inputs="float[n,3] x", outputs="float[n,3] y"), path)

    built = pipeline.build(str(path), Place(tmp_path, "r", 1), parity=FEW)

    fold_section = built.manifest["fold"]
    assert fold_section["nodes"] == []
    assert {
        fold_section[f"{kind}_{when}"] for kind in ("bn", "affines") for when in ("before", "after")
    } == {0}


def test_a_checkpoint_travels_with_its_artifact(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.safetensors", "cnn1d")

    built = pipeline.build(str(checkpoint), Place(tmp_path / "models", "c", 2), parity=FEW)

    described = built.manifest
    copy = tmp_path / "models" / "c" / "2" / "checkpoint.safetensors"
    assert copy.read_bytes() == checkpoint.read_bytes()
    assert described["name"] == "c"
    assert described["version"] == 2
    assert described["task"] == "classification"
    assert described["labels"] == [f"class {index}" for index in range(10)]
    assert described["input"] == {"name": "input", "kind": "tensor", "value_range": [-3.0, 3.0]}
    assert described["output"] == {"name": "logits", "kind": "logits"}
    assert described["source"]["kind"] == "checkpoint"
    assert described["metrics"] == METRICS
    assert described["parity"]["reference"] == "float64 PyTorch"
    assert set(described["created_by"]) == {"foldserve", "onnx", "onnxruntime", "torch"}
    again = pipeline.verify_again(built.path, str(copy), parity=FEW)
    assert again.max_rel_error == described["parity"]["max_rel_error"]


def test_an_image_checkpoint_says_how_images_are_brought_to_it(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.safetensors", "residual")

    built = pipeline.build(str(checkpoint), Place(tmp_path, "c", 1), parity=FEW)

    assert built.manifest["task"] == "image-classification"
    assert built.manifest["input"] == {
        "name": "input",
        "kind": "image",
        "layout": "NCHW",
        "color": "L",
        "channels": 1,
        "height": 28,
        "width": 28,
        "value_range": [0.0, 255.0],
        "resize_filter": "bilinear",
        "crop_fraction": None,
    }


def test_an_onnx_file_keeps_its_names(tmp_path: Path) -> None:
    built = pipeline.build(str(onnx_file(tmp_path / "m.onnx")), Place(tmp_path, "m", 1), parity=FEW)

    written = onnx.load(built.path)
    assert [value.name for value in written.graph.input] == ["data"]
    assert [value.name for value in written.graph.output] == ["scores"]
    assert built.manifest["input"] == {"name": "data", "kind": "tensor", "value_range": None}
    assert built.manifest["output"] == {"name": "scores", "kind": "tensor"}
    assert built.manifest["task"] == "tensor"
    assert built.manifest["labels"] is None
    assert built.manifest["metrics"] is None
    assert built.manifest["source"]["reference"] == "m.onnx"
    assert "torch" not in built.manifest["created_by"]
    assert set(built.manifest["parity"]) == {
        "reference",
        "samples",
        "seed",
        "max_abs_error",
        "max_rel_error",
        "unfolded_max_rel_error",
        "error_ratio",
        "top1_agreement",
        "tolerance",
    }


def labels_file(tmp_path: Path, count: int) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"label {index}\n" for index in range(count)))
    return path


@pytest.mark.parametrize(("last", "kind"), [("Identity", "logits"), ("Softmax", "probabilities")])
def test_labels_make_a_classifier(tmp_path: Path, last: str, kind: str) -> None:
    source = onnx_file(tmp_path / "m.onnx", last=last)

    built = pipeline.build(
        str(source),
        Place(tmp_path, "m", 1),
        SourceOptions(labels=labels_file(tmp_path, 4)),
        FEW,
    )

    assert built.manifest["task"] == "classification"
    assert built.manifest["labels"][2] == "label 2"
    assert built.manifest["output"]["kind"] == kind


def test_labels_must_be_as_many_as_outputs(tmp_path: Path) -> None:
    source = onnx_file(tmp_path / "m.onnx")
    options = SourceOptions(labels=labels_file(tmp_path, 3))

    with pytest.raises(UsageError, match="--labels: 3 labels for 4 outputs"):
        pipeline.build(str(source), Place(tmp_path, "m", 1), options, FEW)


def test_labels_need_one_row_of_outputs(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    two = "float[n,3] y, float[n,3] z"
    onnx.save(model("y = Relu(x) z = Abs(x)", {}, inputs="float[n,3] x", outputs=two), path)
    options = SourceOptions(labels=labels_file(tmp_path, 3))

    with pytest.raises(UsageError, match="does not put out one row"):
        pipeline.build(str(path), Place(tmp_path, "m", 1), options, FEW)
    built = pipeline.build(str(path), Place(tmp_path, "m", 1), parity=FEW)
    assert built.manifest["output"] is None


def test_labels_need_rows_and_no_maps(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    maps = "float[n,2,4,3] "
    onnx.save(model("y = Relu(x)", {}, inputs=f"{maps} x", outputs=f"{maps} y"), path)
    options = SourceOptions(labels=labels_file(tmp_path, 3))

    with pytest.raises(UsageError, match="does not put out one row"):
        pipeline.build(str(path), Place(tmp_path, "m", 1), options, FEW)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"samples": 0}, "--samples 0: take at least 1"),
        ({"tolerance": float("inf")}, "--tolerance inf: take a finite number"),
        ({"tolerance": float("nan")}, "--tolerance nan: take a finite number"),
    ],
)
def test_numbers_that_would_verify_nothing_are_refused(
    fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        ParityOptions(**fields)


def test_several_inputs_are_verified_and_left_undescribed(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(
        model("y = Add(a, b)", {}, inputs="float[n,3] a, float[n,3] b", outputs="float[n,3] y"),
        path,
    )

    built = pipeline.build(str(path), Place(tmp_path, "m", 1), parity=FEW)

    assert built.manifest["input"] is None
    assert built.manifest["parity"]["samples"] == 6


def test_an_artifact_is_verified_against_another_network_and_fails(tmp_path: Path) -> None:
    built = build_small(tmp_path)
    options = SourceOptions(input_shape=(3, 8, 8), seed=1)

    with pytest.raises(ParityError):
        pipeline.verify_again(built.path, SMALL, options, FEW)


def test_a_missing_artifact_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"m\.onnx cannot be read"):
        pipeline.verify_again(tmp_path / "m.onnx", SMALL, SHAPE)


def test_an_artifact_is_not_exported_again(tmp_path: Path) -> None:
    built = build_small(tmp_path)

    with pytest.raises(SourceError, match="artifact of foldserve-export already"):
        pipeline.build(str(built.path), Place(tmp_path, "again", 1))


def of_format_2(**changes: Any) -> str:
    """A manifest of nothing but the outcome of one batch norm."""
    node = asdict(AffineOutcome("bn", "batch_norm", "kept")) | changes
    return json.dumps({"format_version": 2, "fold": {"nodes": [node]}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "format_version None"),
        ('{"format_version": 5}', "format_version 5, this version reads 1 and 2 and 3 and 4"),
        ('{"format_version": true}', "format_version True"),
        ('{"format_version": 2}', "does not say what became of every batch norm"),
        ("[" * 100_000, "no JSON"),
        ('{"format_version": 1}', "does not say what became of every batch norm"),
        ('{"format_version": 1, "fold": {"nodes": [{}]}}', "what became of every batch norm"),
        (of_format_2(into="conv", outcome=["kept"]), "what became of every batch norm"),
        (of_format_2(into=[1]), "what became of every batch norm"),
        (of_format_2(through=None), "what became of every batch norm"),
        (of_format_2(), "does not say which moves were taken"),
        ('{"format_version": 1, "fold": {"nodes": []}}', "does not say what was measured"),
        (
            '{"format_version": 1, "fold": {"nodes": []}, "parity": {}, "labels": [1]}',
            "labels that are no text",
        ),
    ],
)
def test_a_manifest_that_is_none_is_not_read(text: str, message: str) -> None:
    relu = ir.from_proto(model("y = Relu(x)", {}, inputs="float[n] x", outputs="float[n] y"))
    assert manifest.read(relu) is None
    relu.metadata_props[manifest.KEY] = text

    with pytest.raises(ArtifactError, match=message):
        manifest.read(relu)


def test_a_weight_that_a_caller_can_override_stays_one(tmp_path: Path) -> None:
    """The default is used where the caller says nothing, in every run of the verification."""
    path = tmp_path / "m.onnx"
    arrays = {"w": normal(4, 3, dtype=np.float32), **norm(4, dtype=np.float32)}
    text = f"c = Gemm<transB=1>(x, w) {bn('c')}"
    given = "float[n,3] x, float[4,3] w"
    onnx.save(model(text, arrays, inputs=given, outputs="float[n,4] y"), path)

    built = pipeline.build(str(path), Place(tmp_path, "m", 1), parity=FEW, allow_unfolded=True)

    assert [value.name for value in onnx.load(built.path).graph.input] == ["x", "w"]
    assert built.manifest["parity"]["reference"] == "float64 ONNX"
    assert "the caller can override it" in built.manifest["fold"]["nodes"][0]["reason"]
