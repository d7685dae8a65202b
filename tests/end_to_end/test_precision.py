"""The bundled network in narrower numbers: built by the command, served by a real server."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from export.__main__ import app
from tests.service.servers import Server, server

# 16-bit floats round by 4.9e-4, and a probability moves by at most a quarter of a logit; 8 bits
# move a logit by some percent.
TOLERANCES = {"fp16": 2e-3, "int8": 0.05}
SEVEN = 7
VARIANTS = {
    "fp16": ("--precision", "fp16"),
    "int8": ("--precision", "int8"),
    "fp16-bytes": ("--precision", "fp16", "--input-format", "image-uint8"),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    source = str(root / "models/digits/1/checkpoint.safetensors")
    for name, options in VARIANTS.items():
        given = ("build", source, "--name", name, "--output", str(models), "--fold", "safe")
        result = CliRunner().invoke(app, [*given, *options], env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
    shutil.copytree(root / "models/digits", models / "float32")
    with server(models) as process:
        yield process


def classified(served: Server, name: str, root: Path) -> dict[int, float]:
    """Probabilities of the picture in README by class."""
    picture = (root / "tests/data/digit_7.png").read_bytes()
    answer = httpx.post(f"{served.url}/models/{name}/predict?top_k=10", content=picture)
    assert answer.status_code == 200, answer.text
    return {one["index"]: one["probability"] for one in answer.json()["predictions"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_a_picture_is_classified_as_in_float32(name: str, served: Server, root: Path) -> None:
    expected, actual = classified(served, "float32", root), classified(served, name, root)

    tolerance = TOLERANCES[name.split("-", maxsplit=1)[0]]
    assert max(actual, key=lambda index: actual[index]) == SEVEN
    assert actual == pytest.approx(expected, abs=tolerance)
    assert actual != pytest.approx(expected, abs=1e-7)  # it is another model


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fp16", "int8"])
def test_the_accuracy_that_the_manifest_states_is_that_of_the_server(
    name: str, served: Server, root: Path
) -> None:
    samples = np.load(root / "models/digits/1/samples.npz")
    shown = httpx.get(f"{served.url}/models/{name}").json()["versions"][0]["manifest"]

    right = [
        (logits(served, name, samples["held_out"][start : start + 30]).argmax(axis=1) == targets)
        for start in range(0, 360, 30)
        for targets in [samples["targets"][start : start + 30]]
    ]

    assert shown["precision"]["samples"] == 360
    assert shown["precision"]["split"] == "the held-out split"
    assert shown["precision"]["accuracy_after"] == float(np.concatenate(right).mean())


def logits(served: Server, name: str, images: Any) -> Any:
    tensor = {
        "name": "input",
        "shape": list(images.shape),
        "datatype": "FP32",
        "data": images.astype(float).ravel().tolist(),
    }
    answer = httpx.post(f"{served.url}/v2/models/{name}/infer", json={"inputs": [tensor]})
    output = answer.json()["outputs"][0]
    return np.reshape(output["data"], output["shape"])
