"""Artifacts of format version 1 stay readable: one of them, made once, pins writer and reader.

    golden/checkpoint.safetensors   a network of 1,382 parameters, trained on the digits
    golden/model.onnx               what `foldserve-export build` made of it, with --name golden
    golden/manifest.json            what stands in its metadata
    golden/logits.json              what PyTorch in float64 answers to `ramp()`

A change that this test finds is a change of the format: raise ``format_version`` and keep the
old files, since artifacts of today are served for years.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from export import manifest as writer
from export import pipeline
from export.artifact import Place
from service.errors import ModelLoadError
from service.manifest import METADATA_KEY, read_manifest
from service.model import RunOptions, open_model
from training import checkpoint

GOLDEN = Path(__file__).parent / "golden"
# float32 in another order of operations, logits of about ten: 1e-6 was seen.
LOGIT_TOLERANCE = 1e-5
MEASURED = ("created_by", "parity")  # differ from machine to machine


def ramp() -> NDArray[np.float32]:
    """Two images of every grey, (2, 1, 8, 8)."""
    return np.linspace(0, 255, 128, dtype=np.float32).reshape(2, 1, 8, 8)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return dict(json.loads((GOLDEN / "manifest.json").read_text()))


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
    for key in written.keys() - set(MEASURED):
        assert written[key] == golden[key], key
    for key in MEASURED:
        assert written[key].keys() == golden[key].keys()


def test_the_writer_writes_the_golden_signature(rebuilt: pipeline.Built) -> None:
    """Which nodes stand between input and output is no part of the format."""
    old, new = onnx.load(GOLDEN / "model.onnx"), onnx.load_model_from_string(rebuilt.data)
    assert (new.ir_version, new.opset_import) == (old.ir_version, old.opset_import)
    assert (new.graph.input, new.graph.output) == (old.graph.input, old.graph.output)


def test_the_golden_artifact_carries_the_golden_manifest(golden: dict[str, Any]) -> None:
    model = onnx.load(GOLDEN / "model.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata[METADATA_KEY]) == golden
    assert writer.KEY == METADATA_KEY


def test_the_reader_reads_every_field_of_the_golden_manifest(golden: dict[str, Any]) -> None:
    assert read_manifest(json.dumps(golden)).model_dump(mode="json") == golden


@pytest.mark.parametrize("made", ["then", "now"])
def test_the_service_computes_what_the_golden_checkpoint_computes(
    rebuilt: pipeline.Built, made: str
) -> None:
    path = GOLDEN / "model.onnx" if made == "then" else rebuilt.path
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


@pytest.mark.parametrize(
    "change", [{"format_version": 2}, {"colour": "L"}, {"labels": "0123456789"}, {"version": "1"}]
)
def test_the_reader_refuses_another_format(golden: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(ModelLoadError, match=next(iter(change))):
        read_manifest(json.dumps(golden | change))
