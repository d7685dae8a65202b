"""The digits model, once for float pixels and once for bytes, served side by side."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from export import pipeline
from export.artifact import Place
from export.input_format import InputFormat
from tests.service.servers import Server, server

# The two graphs differ in nothing but their front, which is exact. What is left is the order in
# which a batch of another size is added up: a float32 ulp or two of logits of about ten.
PROBABILITY_TOLERANCE = 1e-6
FORMATS: dict[str, InputFormat] = {"floats": "float32", "bytes": "image-uint8"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    for name, input_format in FORMATS.items():
        pipeline.build(
            str(root / "models/digits/1/checkpoint.safetensors"),
            Place(models, name, 1),
            input_format=input_format,
        )
    with server(models) as process:
        yield process


@pytest.fixture(scope="module")
def seven(root: Path) -> Path:
    return root / "tests/data/digit_7.png"


def predict(server: Server, name: str, picture: Path) -> dict[str, float]:
    url = f"{server.url}/models/{name}/predict?top_k=10"
    answer = httpx.post(url, content=picture.read_bytes(), timeout=30)
    assert answer.status_code == 200, answer.text
    return {each["label"]: each["probability"] for each in answer.json()["predictions"]}


def infer(server: Server, name: str, datatype: str, pixels: Any) -> Any:
    tensor = {"name": "input", "shape": pixels.shape, "datatype": datatype}
    request = {"inputs": [tensor | {"data": pixels.ravel().tolist()}]}
    answer = httpx.post(f"{server.url}/v2/models/{name}/infer", json=request, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"][0]["data"]


@pytest.mark.slow
def test_bytes_are_answered_as_floats_are(both: Server, seven: Path) -> None:
    floats, pixels = (predict(both, name, seven) for name in FORMATS)
    assert next(iter(pixels)) == "7"
    assert pixels == pytest.approx(floats, abs=PROBABILITY_TOLERANCE)


@pytest.mark.slow
def test_a_tensor_of_bytes_is_answered_as_the_picture_is(both: Server, seven: Path) -> None:
    image = np.asarray(Image.open(seven))
    logits = infer(both, "bytes", "UINT8", image.reshape(1, 8, 8, 1))
    expected = infer(both, "floats", "FP32", image.reshape(1, 1, 8, 8))
    assert int(np.argmax(logits)) == 7
    assert logits == pytest.approx(expected, abs=10 * PROBABILITY_TOLERANCE)  # logits are about ten


@pytest.mark.slow
def test_the_comparison_sees_another_picture(both: Server, seven: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.open(seven).transpose(Image.Transpose.TRANSPOSE).save(other)
    assert predict(both, "bytes", other) != pytest.approx(
        predict(both, "floats", seven), abs=PROBABILITY_TOLERANCE
    )
