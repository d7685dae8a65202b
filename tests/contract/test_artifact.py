"""Artifacts stay readable: one of every format, made once, pins the reader, the last the writer.

    golden/checkpoint.safetensors   a network of 1,382 parameters, trained on the digits
    golden/model_v<N>.onnx          what `foldserve-export build` of format N made of it, with
                                    --name golden
    golden/manifest_v<N>.json       what stands in its metadata
    golden/logits.json              what PyTorch in float64 answers to `ramp()`

A change that this test finds is a change of the format: raise ``format_version`` and keep the
old files, since artifacts of today are served for years.
"""

import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray

from export import manifest as writer
from export import pipeline
from export.artifact import Place
from export.folding import report
from export.sources.original import Provenance
from service.artifact import manifest as reader
from service.artifact import measured
from service.artifact.manifest import METADATA_KEY, read_manifest
from service.errors import ModelLoadError
from service.inference.model import RunOptions, open_model
from training import checkpoint

GOLDEN = Path(__file__).parent / "golden"
# float32 in another order of operations, logits of about ten: 1e-6 was seen.
LOGIT_TOLERANCE = 1e-5
MEASURED = ("created_by", "parity", "vector")  # differ from machine to machine
FOUND = "fold"  # what an engine does with a network is no part of the format
VERSIONS = (1, 2, 3, 4)


def ramp() -> NDArray[np.float32]:
    """Two images of every grey, (2, 1, 8, 8)."""
    return np.linspace(0, 255, 128, dtype=np.float32).reshape(2, 1, 8, 8)


def manifest_of(version: int) -> dict[str, Any]:
    return dict(json.loads((GOLDEN / f"manifest_v{version}.json").read_text()))


def batch_norms(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in manifest[FOUND]["nodes"] if node["kind"] == "batch_norm"]


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """What is written today."""
    return manifest_of(writer.FORMAT_VERSION)


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> pipeline.Built:
    """The golden artifact, built again by today's code."""
    place = Place(tmp_path_factory.mktemp("models"), "golden", 1)
    return pipeline.build(str(GOLDEN / "checkpoint.safetensors"), place)


def test_the_writer_writes_the_golden_manifest(
    rebuilt: pipeline.Built, golden: dict[str, Any]
) -> None:
    written = json.loads(json.dumps(rebuilt.manifest))
    assert written.keys() == golden.keys()
    for key in written.keys() - {*MEASURED, FOUND}:
        assert written[key] == golden[key], key
    for key in (*MEASURED, FOUND):
        assert written[key].keys() == golden[key].keys()
    for now, then in zip(batch_norms(written), batch_norms(golden), strict=True):
        assert (now.keys(), now["name"]) == (then.keys(), then["name"])


def test_the_writer_writes_the_golden_signature(rebuilt: pipeline.Built) -> None:
    """Which nodes stand between input and output is no part of the format."""
    old, new = onnx.load(GOLDEN / "model_v4.onnx"), onnx.load_model_from_string(rebuilt.data)
    assert (new.ir_version, new.opset_import) == (old.ir_version, old.opset_import)
    assert (new.graph.input, new.graph.output) == (old.graph.input, old.graph.output)


def test_the_last_version_is_the_one_that_is_written() -> None:
    assert VERSIONS[-1] == writer.FORMAT_VERSION
    assert len(list(GOLDEN.glob("model_v*.onnx"))) == len(VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_golden_artifact_carries_the_golden_manifest(version: int) -> None:
    model = onnx.load(GOLDEN / f"model_v{version}.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata[METADATA_KEY]) == manifest_of(version)
    assert writer.KEY == METADATA_KEY


@pytest.mark.parametrize("version", VERSIONS)
def test_the_reader_reads_every_field_of_the_golden_manifest(version: int) -> None:
    golden = manifest_of(version)
    assert read_manifest(json.dumps(golden)).model_dump(mode="json") == golden


@pytest.mark.parametrize("version", VERSIONS)
def test_the_export_shows_the_golden_artifact_of_every_version(version: int) -> None:
    described = writer.read(ir.load(GOLDEN / f"model_v{version}.onnx"))
    assert described is not None
    (stem,) = (one for one in writer.outcomes(described) if one.name == "network.stem.bn")
    assert (stem.outcome, stem.into) == ("folded_backward", ("network.stem.conv",))


def test_writer_and_reader_know_the_same_words() -> None:
    written = {
        "kind": get_args(report.Kind),
        "outcome": get_args(report.Outcome),
    }
    fields = measured.FoldedNode.model_fields
    assert {name: get_args(fields[name].annotation) for name in written} == written
    kinds = get_args(get_type_hints(Provenance)["kind"])
    assert set(kinds) <= set(get_args(reader.Source.model_fields["kind"].annotation))
    decision, fold = get_type_hints(report.Decision), measured.Fold.model_fields
    assert {fold[name].annotation for name in ("mode", "target")} == {
        decision[name] for name in ("mode", "target")
    }


@pytest.mark.parametrize("made", ["format 1", "format 2", "format 3", "format 4", "now"])
def test_the_service_computes_what_the_golden_checkpoint_computes(
    rebuilt: pipeline.Built, made: str
) -> None:
    """An artifact of the versions before is still served."""
    path = rebuilt.path if made == "now" else GOLDEN / f"model_v{made[-1]}.onnx"
    model = open_model(path, RunOptions("cpu", intra_op_threads=1))
    actual = model.run({"input": ramp()})["logits"].astype(np.float64)
    expected = np.array(json.loads((GOLDEN / "logits.json").read_text()))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=LOGIT_TOLERANCE)
    assert not np.allclose(actual[::-1], expected, rtol=0, atol=LOGIT_TOLERANCE)


def test_the_golden_checkpoint_is_still_read() -> None:
    trained = checkpoint.load(GOLDEN / "checkpoint.safetensors")
    with torch.inference_mode():
        actual = trained.model.double()(torch.from_numpy(ramp()).double())
    expected = np.array(json.loads((GOLDEN / "logits.json").read_text()))
    # The same arithmetic in float64; the file keeps twelve digits.
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "change", [{"format_version": 5}, {"colour": "L"}, {"labels": "0123456789"}, {"version": "1"}]
)
def test_the_reader_refuses_another_format(version: int, change: dict[str, Any]) -> None:
    golden = manifest_of(version)
    with pytest.raises(ModelLoadError, match=next(iter(change))):
        read_manifest(json.dumps(golden | change))
