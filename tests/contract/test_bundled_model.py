"""The bundled model is what its manifest claims: accuracy, parity, hash, fold."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from export import pipeline
from service.artifact.manifest import Manifest
from service.artifact.measured import Fold
from service.images.preprocessing import image_tensor
from service.inference.model import Model, RunOptions, open_model
from training import checkpoint, datasets, samples_file

PROMISED_ACCURACY = 0.99  # README: at most three of 360 wrong


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "models/digits/1"


@pytest.fixture(scope="module")
def served(folder: Path) -> Model:
    return open_model(folder / "model.onnx", RunOptions("cpu", intra_op_threads=1))


@pytest.fixture(scope="module")
def manifest(served: Model) -> Manifest:
    assert served.manifest is not None
    return served.manifest


@pytest.fixture(scope="module")
def trained(folder: Path) -> checkpoint.Checkpoint:
    return checkpoint.load(folder / "checkpoint.safetensors")


@pytest.fixture(scope="module")
def held_out(trained: checkpoint.Checkpoint) -> datasets.Samples:
    return datasets.load(trained.data).test


def as_png(pixels: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[0]).save(buffer, "PNG")
    return buffer.getvalue()


def as_photograph(pixels: NDArray[Any]) -> bytes:
    """As large as a camera's, and smooth as what a lens draws."""
    buffer = io.BytesIO()
    large = Image.fromarray(pixels[0]).resize((1600, 1200), Image.Resampling.BICUBIC)
    large.convert("RGB").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def test_accuracy_on_the_held_out_fifth_is_the_claimed_one(
    served: Model, manifest: Manifest, held_out: datasets.Samples
) -> None:
    logits = served.run({"input": held_out.inputs.astype(np.float32)})["logits"]
    accuracy = float((np.argmax(logits, axis=1) == held_out.targets).mean())
    assert manifest.metrics is not None
    assert manifest.metrics.samples == len(held_out)
    assert manifest.metrics.accuracy == accuracy >= PROMISED_ACCURACY


def test_every_held_out_image_gets_the_class_that_the_checkpoint_gives_it(
    served: Model, trained: checkpoint.Checkpoint, held_out: datasets.Samples
) -> None:
    inputs = held_out.inputs.astype(np.float32)
    with torch.inference_mode():
        expected = trained.model(torch.from_numpy(inputs)).numpy()
    actual = served.run({"input": inputs})["logits"]
    np.testing.assert_array_equal(actual.argmax(axis=1), expected.argmax(axis=1))


def test_a_picture_of_an_image_is_that_image(served: Model, held_out: datasets.Samples) -> None:
    assert served.manifest is not None
    assert served.manifest.image is not None
    for pixels in held_out.inputs[:20]:
        tensor = image_tensor(as_png(pixels), served.manifest.image, max_pixels=64)
        np.testing.assert_array_equal(tensor, pixels)


def test_photographs_get_the_class_of_an_exact_decoding_when_they_are_decoded_smaller(
    served: Model, held_out: datasets.Samples
) -> None:
    assert served.manifest is not None
    spec = served.manifest.image
    assert spec is not None
    files = [as_photograph(pixels) for pixels in held_out.inputs[:40]]
    logits = {}
    for scaled in (False, True):
        tensors = [image_tensor(file, spec, 1600 * 1200, scaled=scaled) for file in files]
        logits[scaled] = served.run({"input": np.stack(tensors)})["logits"]
    assert not np.array_equal(logits[False], logits[True]), "they are decoded smaller"
    np.testing.assert_array_equal(logits[False].argmax(axis=1), logits[True].argmax(axis=1))
    # A level of 255 in 64 pixels; over all 360 images it moves a logit by 0.034 at most.
    assert np.abs(np.subtract(logits[False], logits[True])).max() < 0.1


def test_the_hash_is_that_of_the_checkpoint_beside_it(manifest: Manifest, folder: Path) -> None:
    source = folder / manifest.source.reference
    assert hashlib.sha256(source.read_bytes()).hexdigest() == manifest.source.sha256


def test_parity_holds_when_it_is_measured_again(manifest: Manifest, folder: Path) -> None:
    stated = manifest.parity
    options = pipeline.ParityOptions(stated.samples, stated.seed, stated.tolerance)
    measured = pipeline.verify_again(
        folder / "model.onnx", str(folder / "checkpoint.safetensors"), parity=options
    )
    assert measured.reference == stated.reference
    assert measured.top1_agreement == stated.top1_agreement == 1.0
    # Another processor sums in another order; ten times the claim would be another model.
    assert measured.max_rel_error <= 10 * stated.max_rel_error


def test_no_batch_norm_is_left(manifest: Manifest, folder: Path) -> None:
    operators = [node.op_type for node in onnx.load(folder / "model.onnx").graph.node]
    assert "BatchNormalization" not in operators
    assert isinstance(manifest.fold, Fold)
    kinds = [node.kind for node in manifest.fold.nodes]
    assert manifest.fold.bn_before == kinds.count("batch_norm") > 0
    assert manifest.fold.bn_after == 0
    assert (folder / "report.html").read_text().count("network.stem.bn") > 0


def test_the_samples_beside_it_are_those_of_the_data_set(
    folder: Path, trained: checkpoint.Checkpoint, held_out: datasets.Samples, tmp_path: Path
) -> None:
    samples_file.write(tmp_path / "samples.npz", datasets.load(trained.data))
    with np.load(tmp_path / "samples.npz") as expected, np.load(folder / "samples.npz") as actual:
        assert expected.keys() == actual.keys()
        for name in expected:
            np.testing.assert_array_equal(actual[name], expected[name])
        assert len(actual["targets"]) == len(held_out)


def test_the_picture_in_readme_is_a_held_out_seven(root: Path, held_out: datasets.Samples) -> None:
    picture = np.asarray(Image.open(root / "tests/data/digit_7.png"))
    found = [
        int(target)
        for pixels, target in zip(held_out.inputs, held_out.targets, strict=True)
        if np.array_equal(pixels[0], picture)
    ]
    assert found == [7]


def test_the_manifest_states_the_versions_that_made_it(manifest: Manifest) -> None:
    assert {"foldserve", "onnx", "onnxruntime", "torch"} <= manifest.created_by.keys()
