import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from export import manifest, pipeline
from export.artifact import Place
from export.errors import UsageError
from export.reliability import Temperature, parse_temperature
from export.reliability.calibration import bins, expected_error, softmax
from export.sources.options import SourceOptions
from service.artifact.manifest import read_manifest
from service.inference.model import RunOptions, open_model

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[2] / "contract/golden/checkpoint.safetensors"


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A hundred random images with classes."""
    rng = np.random.default_rng(0)
    path = tmp_path / "samples.npz"
    images = rng.integers(0, 256, (100, 1, 8, 8), dtype=np.uint8)
    np.savez(path, held_out=images, targets=rng.integers(0, 10, 100))
    return path


def build(folder: Path, samples: Path | None, temperature: Temperature | None = None) -> Any:
    """The artifact, and what its manifest says of its probabilities."""
    place = Place(folder / "models", "golden", 1)
    built = pipeline.build(str(GOLDEN), place, held_out=samples, temperature=temperature)
    (stated,) = (
        each.value for each in onnx.load(built.path).metadata_props if each.key == manifest.KEY
    )
    return built, json.loads(stated)["reliability"], read_manifest(stated)


def test_what_the_service_answers_is_what_was_measured(tmp_path: Path, samples: Path) -> None:
    """The error in the manifest is that of the served model's softmax, computed here anew."""
    built, stated, read = build(tmp_path, samples, 2.0)
    with np.load(samples) as arrays:
        images, targets = arrays["held_out"].astype(np.float32), arrays["targets"]
    logits = open_model(built.path, RunOptions("cpu", intra_op_threads=1)).run({"input": images})
    wide = logits["logits"].astype(np.float64)

    # Batches of another size may differ in the last digits of a logit.
    expected = expected_error(bins(softmax(wide, read.temperature), targets))
    assert stated["ece"] == pytest.approx(expected, abs=1e-6)
    assert stated["ece_before"] == pytest.approx(
        expected_error(bins(softmax(wide), targets)), abs=1e-6
    )
    assert read.temperature == stated["temperature"] == 2.0
    assert (stated["fitted"], stated["samples"], stated["split"]) == (False, 100, "samples.npz")


def test_a_fitted_temperature_is_judged_on_the_other_half(tmp_path: Path, samples: Path) -> None:
    """Random classes: whatever the network is sure of, it had better not be."""
    _, stated, _ = build(tmp_path, samples, "auto")

    assert stated["fitted"]
    assert stated["samples"] == 50
    assert stated["temperature"] > 1
    assert stated["ece"] < stated["ece_before"]
    assert sum(each["samples"] for each in stated["bins"]) == 50


def test_without_a_temperature_probabilities_are_measured_as_they_are(
    tmp_path: Path, samples: Path
) -> None:
    _, stated, read = build(tmp_path, samples)

    assert read.temperature == 1
    assert stated["ece"] == stated["ece_before"]


def test_without_samples_nothing_is_stated_and_a_temperature_is_refused(tmp_path: Path) -> None:
    _, stated, read = build(tmp_path, None)

    assert stated is None
    assert read.temperature == 1
    place = Place(tmp_path / "models", "golden", 2)
    with pytest.raises(UsageError, match=r"--temperature auto: .* --held-out names them"):
        pipeline.build(str(GOLDEN), place, temperature="auto")
    assert not place.model.exists()


def test_a_model_without_classes_takes_no_temperature(tmp_path: Path, samples: Path) -> None:
    with pytest.raises(UsageError, match=r"--temperature 2\.0: is for logits"):
        pipeline.build(
            "tests.export.networks:small",
            Place(tmp_path / "models", "m", 1),
            SourceOptions(input_shape=(3, 16, 16)),
            held_out=samples,
            temperature=2.0,
        )


def test_the_page_draws_what_was_measured(tmp_path: Path, samples: Path) -> None:
    built, stated, _ = build(tmp_path, samples, "auto")
    page = (built.path.parent / "report.html").read_text()

    assert page.count("<circle ") == len(stated["bins"])
    assert re.search(r"Expected calibration error: [\d.]+ points with a temperature of", page)


@pytest.mark.parametrize("text", ["hot", "0", "-1", "nan", "inf", "21", ""])
def test_what_is_no_temperature_is_refused_by_its_value(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"--temperature {text}: take auto, or 0.05")):
        parse_temperature(text)


def test_temperatures_are_numbers_or_fitted() -> None:
    assert [parse_temperature(text) for text in (None, "auto", "1.5")] == [None, "auto", 1.5]
