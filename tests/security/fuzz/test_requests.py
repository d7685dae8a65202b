"""Damaged requests and pictures: no answer but the intended, no crash, no hang, no growth."""

import io
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from PIL import Image
from sklearn.datasets import load_sample_images  # type: ignore[import-untyped]  # it has no types

from tests.chaos.load import get_request, infer_request
from tests.security.fuzz.mutation import mutations
from tests.security.fuzz.target import SECONDS, SEED, Memory, corpus, keep, send_all
from tests.service import zoo
from tests.service.servers import Server, server

pytestmark = pytest.mark.anyio

# A few of the largest bodies and pictures at once, of two workers; the search is of thousands.
MOST_GROWTH_MEBIBYTES = 128


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    zoo.put(models, "m", 1, zoo.doubler())
    zoo.put(models, "two", 1, zoo.two_in_two_out())
    zoo.put(models, "texts", 1, zoo.identity(TensorProto.STRING))
    zoo.put(models, "brightness", 1, zoo.brightness_classifier())
    bounds = {"MAX_BODY_BYTES": 2**20, "MAX_IMAGE_PIXELS": 10**6}
    with server(models, WORKERS=2, ACCESS_LOG="none", **bounds) as process:
        workers = process.workers
        assert process.process.stderr is not None  # a run that fails is a line of the log
        threading.Thread(target=process.process.stderr.read, daemon=True).start()
        yield process
        assert process.workers == workers  # nobody died
        assert process.stop() == 0


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def requests() -> list[bytes]:
    text = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"BYTES","data":["a","\\u00e9",""]}]}'
    two = (
        b'{"id":"1","inputs":[{"name":"a","shape":[1,2],"datatype":"FP32","data":[1,2]},'
        b'{"name":"b","shape":[1,2],"datatype":"FP32","data":[[3,4.5e-3]]}],'
        b'"outputs":[{"name":"sum","parameters":{"binary_data":true}}],"parameters":{"timeout":9}}'
    )
    rows = b'{"instances":[[1,2,3],[4,5,6]]}'
    chunked = (
        b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'4a\r\n{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}\r\n0\r\n\r\n'
    )
    return [
        infer_request("m", [3]),
        infer_request("m", [3], 2, binary=True),
        infer_request("m", [3], binary=True) + infer_request("m/versions/1", [3]),
        infer_request("m", [3], headers=["Connection: close"]) + get_request("/v2"),
        post("/v2/models/two/infer", two, "Content-Type: application/json"),
        post("/v2/models/texts/infer", text),
        post("/v1/models/m:predict", rows),
        post("/v2/models/m/infer", np.ones((1, 3), np.float32).tobytes(), LENGTH + "0"),
        chunked,
        get_request("/v2/models/m", ["Accept: */*", "X-Request-Id: abc"]),
        get_request("/models/brightness/versions/1?top_k=1"),
        get_request("/metrics"),
    ]


LENGTH = "Inference-Header-Content-Length: "


def pictures() -> list[bytes]:
    """Real photographs, small, in every format and some of their odd forms."""
    photographs = [Image.fromarray(each) for each in load_sample_images().images]
    found = []
    for photograph in photographs:
        small = photograph.resize((24, 16))
        forms: list[tuple[Image.Image, str, dict[str, Any]]] = [
            (small, "JPEG", {"quality": 60, "exif": exif()}),
            (small, "JPEG", {"progressive": True}),
            (small.convert("CMYK"), "JPEG", {}),
            (small, "PNG", {}),
            (small.convert("P"), "PNG", {"transparency": 3}),
            (small.convert("L").convert("I;16"), "PNG", {}),
            (small, "WEBP", {"lossless": True}),
            (small, "WEBP", {"save_all": True, "append_images": [small.rotate(90)]}),
            (small, "GIF", {}),
        ]
        for image, kind, options in forms:
            file = io.BytesIO()
            image.save(file, kind, **options)
            found.append(file.getvalue())
    return found


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = 6  # Orientation
    return found


async def test_damaged_requests_have_the_intended_answers(
    running: Server, tmp_path: Path, figure: Callable[..., None]
) -> None:
    await send_all(running.port, mutations(requests(), SEED + 1), seconds=0.5)
    memory = Memory(running)
    found = await send_all(running.port, corpus("requests"))
    assert not keep("requests", found, tmp_path)
    found = await send_all(running.port, mutations(requests(), SEED), SECONDS)
    assert not keep("requests", found, tmp_path)
    assert memory.grown_mebibytes < MOST_GROWTH_MEBIBYTES
    assert found.statuses[200]  # some are not damaged where it matters
    assert found.statuses[400]
    figure("Fuzzing of requests", inputs=found.tried, crashed=0, hung=0, wrong=len(found.wrong))


async def test_damaged_pictures_have_the_intended_answers(
    running: Server, tmp_path: Path, figure: Callable[..., None]
) -> None:
    """As a body, in a form, and in the JSON of the other protocols."""
    damaged = mutations(pictures(), SEED)
    chance = random.Random(SEED)  # noqa: S311 -- no secret
    inputs = (sent(chance, data) for data in damaged)
    await send_all(running.port, inputs, seconds=0.5)
    memory = Memory(running)
    found = await send_all(running.port, corpus("pictures"))
    assert not keep("pictures", found, tmp_path)
    found = await send_all(running.port, inputs, SECONDS)
    assert not keep("pictures", found, tmp_path)
    assert memory.grown_mebibytes < MOST_GROWTH_MEBIBYTES
    assert found.statuses[200]
    assert found.statuses[400]
    figure("Fuzzing of pictures", inputs=found.tried, crashed=0, hung=0, wrong=len(found.wrong))


def sent(chance: random.Random, picture: bytes) -> bytes:
    predict = "/models/brightness/predict?top_k=2"
    if chance.random() < 0.5:
        return post(predict, picture, "Connection: close")
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    form = "Content-Type: multipart/form-data; boundary=x"
    return post(predict, part + picture + b"\r\n--x--\r\n", form, "Connection: close")
