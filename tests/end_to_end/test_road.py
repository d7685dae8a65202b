"""The whole road: train a little, export, serve in a process of its own, ask over HTTP, compare."""

import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.service.servers import Server, server
from training import checkpoint, datasets

# Folding and ONNX Runtime round otherwise than PyTorch: a few float32 ulps (6e-8) a layer, on
# logits of about ten. A wrong fold is off by more than 1e-2.
PROBABILITY_TOLERANCE = 1e-5

CONFIG = """
name = "{name}"
[data]
{data}
[model]
{model}
[training]
epochs = {epochs}
batch_size = 64
threads = 1
device = "cpu"
[optimizer]
name = "sgd"
learning_rate = 0.1
"""
RUNS = {
    "residual": (
        'name = "digits"',
        'name = "residual"\nfilters = [8, 16]\nblocks = [1, 1]',
        3,
    ),
    "article-2d": (
        'name = "digits"',
        'name = "cnn2d"\nchannels = 1\nheight = 8\nwidth = 8',
        3,
    ),
    "article-1d": (
        'name = "mnist1d"\ntrain_limit = 500',
        'name = "cnn1d"\nchannels = 1\nlength = 40',
        2,
    ),
}


def run(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Road:
    """What the commands left behind, and the server that serves it."""

    folder: Path
    server: Server

    def trained(self, name: str) -> checkpoint.Checkpoint:
        return checkpoint.load(self.folder / "runs" / name / "checkpoint.safetensors")

    def held_out(self, name: str) -> datasets.Samples:
        return datasets.load(self.trained(name).data).test

    def post(self, path: str, **request: Any) -> dict[str, Any]:
        answer = httpx.post(self.server.url + path, timeout=30, **request)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Road]:
    folder = tmp_path_factory.mktemp("road")
    for name, (data, model, epochs) in RUNS.items():
        config = folder / f"{name}.toml"
        config.write_text(CONFIG.format(name=name, data=data, model=model, epochs=epochs))
        runs, models = str(folder / "runs"), str(folder / "models")
        run("training", str(config), "--runs", runs, cwd=root)
        source = f"{runs}/{name}/checkpoint.safetensors"
        run("export", "build", source, "--name", name, "--output", models, cwd=root)
    with server(folder / "models") as process:
        yield Road(folder, process)


def torch_probabilities(model: torch.nn.Module, inputs: NDArray[Any]) -> NDArray[np.float64]:
    with torch.inference_mode():
        logits = model(torch.from_numpy(inputs.astype(np.float32)))
    return np.asarray(logits.double().softmax(dim=1))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A picture of one grey image, (1, height, width)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[0]).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["residual", "article-2d"])
def test_http_answers_with_the_probabilities_of_pytorch(road: Road, name: str) -> None:
    samples = road.held_out(name)
    expected = torch_probabilities(road.trained(name).model, samples.inputs)
    for pixels, wanted in zip(samples.inputs[:40], expected[:40], strict=True):
        answer = road.post(f"/models/{name}/predict?top_k=10", content=png(pixels))
        predictions = answer["predictions"]
        actual = {prediction["index"]: prediction["probability"] for prediction in predictions}
        assert predictions[0]["index"] == wanted.argmax()
        for index, probability in enumerate(wanted):
            assert actual[index] == pytest.approx(probability, abs=PROBABILITY_TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_every_held_out_sample_gets_the_class_that_pytorch_gives_it(road: Road, name: str) -> None:
    samples = road.held_out(name)
    expected = torch_probabilities(road.trained(name).model, samples.inputs).argmax(axis=1)
    classes = []
    for start in range(0, len(samples), 32):
        batch = samples.inputs[start : start + 32].astype(np.float32)
        tensor = {
            "name": "input",
            "shape": list(batch.shape),
            "datatype": "FP32",
            "data": batch.ravel().tolist(),
        }
        answer = road.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
        output = answer["outputs"][0]
        classes.append(np.reshape(output["data"], output["shape"]).argmax(axis=1))
    actual = np.concatenate(classes)
    assert (actual != expected).sum() == 0
    accuracy = float((actual == samples.targets).mean())
    claimed = httpx.get(f"{road.server.url}/models/{name}").json()["versions"][0]["manifest"]
    assert claimed["metrics"]["accuracy"] == pytest.approx(accuracy, abs=1e-12)  # equal counts


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_no_batch_norm_is_left_to_serve(road: Road, name: str) -> None:
    fold = httpx.get(f"{road.server.url}/models/{name}").json()["versions"][0]["manifest"]["fold"]
    assert fold["bn_before"] > 0
    assert fold["bn_after"] == 0
    outcomes = {(node["kind"], node["outcome"]) for node in fold["nodes"]}
    assert ("batch_norm", "folded_backward") in outcomes
    # The other is the mean of the pixels, in front of a convolution that pads with zeros.
    assert outcomes <= {("batch_norm", "folded_backward"), ("affine", "reduced")}


@pytest.mark.slow
def test_the_comparison_sees_another_model(road: Road) -> None:
    samples = road.held_out("residual")
    other = torch_probabilities(road.trained("article-2d").model, samples.inputs[:1])[0]
    answer = road.post("/models/residual/predict?top_k=1", content=png(samples.inputs[0]))
    best = answer["predictions"][0]
    assert best["probability"] != pytest.approx(other[best["index"]], abs=PROBABILITY_TOLERANCE)
