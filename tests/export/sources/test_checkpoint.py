"""Checkpoints of the training stage: all that they know travels on."""

from pathlib import Path

import pytest

from export.errors import SourceError, UsageError
from export.folding.recognition import batch_norms
from export.sources.checkpoint import read_checkpoint
from export.sources.options import SourceOptions
from export.sources.original import ImageInput, TensorInput
from tests.export.checkpoints import METRICS, write_checkpoint

pytestmark = pytest.mark.slow


def test_a_checkpoint_of_images_knows_all_about_its_input(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "c.safetensors", "residual")

    original = read_checkpoint(path, SourceOptions())

    assert original.input == ImageInput("L", 1, 28, 28)
    assert original.labels == tuple(f"class {index}" for index in range(10))
    assert original.metrics == METRICS
    assert original.checkpoint == path
    assert original.reference is not None
    assert original.reference_name == "float64 PyTorch"
    assert original.provenance.kind == "checkpoint"
    assert original.provenance.reference == "c.safetensors"
    assert len(original.provenance.sha256 or "") == 64
    assert len(batch_norms(original.model.graph)) == 9


def test_a_checkpoint_of_signals_is_a_tensor(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "c.safetensors", "cnn1d")

    original = read_checkpoint(path, SourceOptions())

    assert original.input == TensorInput((3, 28), (-3.0, 3.0))


def test_options_that_the_header_decides_are_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "c.safetensors", "cnn1d")

    with pytest.raises(UsageError, match="--input, --mean: a checkpoint says this itself"):
        read_checkpoint(path, SourceOptions(input_shape=(3, 28), mean=(0.5,)))


def test_what_is_no_checkpoint_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "c.safetensors"
    broken.write_bytes(b"not safetensors")

    with pytest.raises(SourceError, match=r"c\.safetensors"):
        read_checkpoint(broken, SourceOptions())
    with pytest.raises(SourceError, match=r"missing\.safetensors"):
        read_checkpoint(tmp_path / "missing.safetensors", SourceOptions())
