"""A model of layout NHWC takes the bytes of an image as they are decoded."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from service.artifact.manifest import read_manifest
from service.artifact.signature import Array, Signature, TensorSpec
from service.inference.assembly import run_together
from service.inference.warm_up import keeps_rows_apart, warm_up
from tests.service import zoo
from tests.service.apps import serving
from tests.service.fakes import FakeModel
from tests.service.pictures import encoded

INFER = "/v2/models/primary/infer"
HEIGHT, WIDTH = 2, 3
BYTES = Signature(
    (TensorSpec("x", "UINT8", ("batch", HEIGHT, WIDTH, 3)),),
    (TensorSpec("y", "FP32", ("batch", HEIGHT, WIDTH, 3)),),
)


def document() -> dict[str, Any]:
    described = zoo.manifest_document(HEIGHT, WIDTH, "RGB", labels=("red", "green", "blue"))
    return described | {"input": described["input"] | {"layout": "NHWC"}}


def primary_color() -> onnx.ModelProto:
    """Three logits: the sums of the red, the green and the blue bytes, each divided by 100."""
    weight = np.tile(np.eye(3) / 100, (HEIGHT * WIDTH, 1))
    return zoo.graph_model(
        [
            helper.make_node("Cast", ["input"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["floats"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        ],
        [zoo.info("input", ("batch", HEIGHT, WIDTH, 3), TensorProto.UINT8)],
        [zoo.info("logits", ("batch", 3))],
        [zoo.constant("weight", weight)],
        {"foldserve.manifest": json.dumps(document())},
    )


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    zoo.put(tmp_path, "primary", 1, primary_color())
    async with serving(tmp_path) as client:
        yield client


def tensor(values: Array, **changes: Any) -> dict[str, Any]:
    described = {"name": "input", "shape": list(values.shape), "datatype": "UINT8"}
    return {"inputs": [described | {"data": values.ravel().tolist()} | changes]}


@pytest.mark.anyio
@pytest.mark.parametrize("color", ["red", "green", "blue"])
async def test_an_image_is_classified_by_its_bytes(client: httpx.AsyncClient, color: str) -> None:
    picture = encoded(Image.new("RGB", (9, 9), color))
    answer = await client.post("/models/primary/predict", content=picture)
    assert answer.json()["predictions"][0]["label"] == color


@pytest.mark.anyio
async def test_bytes_are_taken_as_a_tensor_of_the_protocol(client: httpx.AsyncClient) -> None:
    pixels = np.arange(2 * HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(2, HEIGHT, WIDTH, 3)
    answer = await client.post(INFER, json=tensor(pixels))
    (output,) = answer.json()["outputs"]
    expected = pixels.sum(axis=(1, 2)) / 100
    # Sums of a few small integers; float32 keeps seven digits.
    assert np.reshape(output["data"], output["shape"]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"datatype": "FP32"}, "datatype must be UINT8"),
        ({"data": [256] * HEIGHT * WIDTH * 3}, "a value beyond UINT8"),
        ({"data": [0.5] * HEIGHT * WIDTH * 3}, "a fraction"),
        ({"shape": [1, 3, HEIGHT, WIDTH]}, "must be 2, not 3"),
    ],
)
async def test_what_is_no_byte_or_lies_otherwise_is_refused(
    client: httpx.AsyncClient, change: dict[str, Any], message: str
) -> None:
    body = tensor(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8), **change)
    answer = await client.post(INFER, json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


class Watched(FakeModel):
    """Keeps the arrays that it was given."""

    def __init__(self) -> None:
        fields = document()
        fields["input"]["name"], fields["output"]["name"] = "x", "y"
        super().__init__(manifest=read_manifest(json.dumps(fields)))
        self.signature = BYTES
        self.given: list[Array] = []

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.given.append(inputs["x"])
        return super().run(inputs)


def test_a_shared_run_is_of_bytes_too() -> None:
    model = Watched()
    rows = [np.full((1, HEIGHT, WIDTH, 3), value, np.uint8) for value in (1, 255)]
    answers = run_together(model, [{"x": row} for row in rows])
    (given,) = model.given
    assert given.dtype == np.uint8
    assert given.shape == (2, HEIGHT, WIDTH, 3)
    assert [each["y"].max() for each in answers] == [2, 510]


def test_the_first_runs_are_of_bytes_over_their_whole_range() -> None:
    model = Watched()
    warm_up(model, max_batch_size=1)
    assert keeps_rows_apart(model)
    assert {array.dtype for array in model.given} == {np.dtype(np.uint8)}
    # 36 random bytes: that all of them are below 128 happens once in 10^10 seeds.
    assert max(array.max() for array in model.given) > 127
