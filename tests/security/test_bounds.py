"""How much a client may say: each bound is named, and no text of a request is kept or repeated."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest

from tests.chaos.load import resident_bytes
from tests.service import zoo
from tests.service.pictures import grey
from tests.service.servers import PATIENCE_S, Server, server

INFER = "/v2/models/m/infer"
PREDICT = "/models/brightness/predict"
TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
MEBIBYTE = 2**20
# What a process of two models keeps of the largest body, and not of a hundred of them.
MOST_GROWTH = 96 * MEBIBYTE
TIMES = 5


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    zoo.put(models, "m", 1, zoo.doubler())
    zoo.put(models, "brightness", 1, zoo.brightness_classifier())
    with server(models, CONTROL_PORT=0, MAX_BODY_BYTES=4 * MEBIBYTE) as process:
        process.control  # noqa: B018 -- the line is read before it is asked for
        yield process
        assert process.stop() == 0


def asked(**changes: Any) -> bytes:
    return json.dumps({"inputs": [TENSOR]} | changes).encode()


def changed(**changes: Any) -> bytes:
    return json.dumps({"inputs": [TENSOR | changes]}).encode()


def nested(depth: int) -> bytes:
    return b'{"inputs":' + b"[" * depth + b"]" * depth + b"}"


def many(count: int, item: Callable[[int], Any]) -> Sequence[Any]:
    return [item(i) for i in range(count)]


V2 = {
    "depth of lists": (nested(100_000), "the body is not JSON: depth limit exceeded"),
    "depth of objects": (b'{"a":' * 300_000, "the body is not JSON: depth limit exceeded"),
    "depth of data": (changed(data=json.loads("[" * 500 + "]" * 500)), "inputs[0].data at depth"),
    "inputs": (asked(inputs=[TENSOR] * 20_000), "inputs[1].name 'x' is there twice"),
    "outputs": (
        asked(outputs=many(50_000, lambda i: {"name": f"y{i}"})),
        "outputs[0].name 'y0' is none of 'y'",
    ),
    "the same output": (asked(outputs=[{"name": "y"}] * 50_000), "'y' is there twice"),
    "dimensions": (changed(shape=[1] * 500_000), "inputs[0].shape must be a list of 2 sizes"),
    "digits of a number": (
        b'{"inputs":[{"name":"x","shape":[1%s,3]}]}' % (b"0" * 100_000),
        "the body is not JSON: number is infinity",
    ),
    "id": (asked(id="i" * 1025), "id must be a string of 1024 characters at most"),
    "name of an input": (changed(name="n" * MEBIBYTE), "inputs[0].name 'nnn"),
    "datatype": (changed(datatype="d" * MEBIBYTE), "inputs[0].datatype"),
    "rows": (changed(shape=[300_000, 3], data=[1] * 900_000), "a run takes 32"),
    "timeout": (asked(parameters={"timeout": 10**30}), "timeout"),
}


@pytest.mark.parametrize("name", V2)
def test_what_is_beyond_a_bound_is_named_and_not_repeated(running: Server, name: str) -> None:
    """Both roads: in the head's own read, and in pieces, which the app reads."""
    body, message = V2[name]
    whole = httpx.post(running.url + INFER, content=body, timeout=PATIENCE_S)
    pieces = httpx.post(running.url + INFER, content=iter((body,)), timeout=PATIENCE_S)
    for answer in (whole, pieces):
        assert answer.status_code == 400
        assert message in answer.json()["error"]
        assert len(answer.content) < 300


V1 = {
    "instances": (b'{"instances":[' + b"[1,2,3]," * 100_000 + b"[1,2,3]]}", "a run takes 32"),
    "depth": (b'{"instances":' + b"[" * 100_000, "depth limit exceeded"),
    "names": (
        json.dumps({"instances": [{f"x{i}": 1 for i in range(50_000)}]}).encode(),
        "instances",
    ),
}


@pytest.mark.parametrize("name", V1)
def test_the_first_protocol_has_the_same_bounds(running: Server, name: str) -> None:
    body, message = V1[name]
    answer = httpx.post(running.url + "/v1/models/m:predict", content=body, timeout=PATIENCE_S)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert len(answer.content) < 300


def test_images_beyond_a_run_are_counted_before_one_is_decoded(running: Server) -> None:
    body = b'{"instances":[' + b'{"b64":"aGVsbG8="},' * 100_000 + b'{"b64":"aGVsbG8="}]}'
    url = running.url + "/v1/models/brightness:predict"
    answer = httpx.post(url, content=body, timeout=PATIENCE_S)
    assert answer.status_code == 400
    assert answer.json()["error"] == "the request has 100001 images, a run takes 32"


def test_parts_of_a_form_are_counted_while_they_are_read(running: Server) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nb\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = httpx.post(
        running.url + PREDICT, content=part * 50_000 + b"--x--", headers=headers, timeout=PATIENCE_S
    )
    assert answer.status_code == 400
    assert "more than 64 parts" in answer.json()["detail"]


@pytest.mark.parametrize("path", [INFER, PREDICT, "/v1/models/m:predict"])
def test_bodies_are_bounded_as_they_come_and_unpacked(running: Server, path: str) -> None:
    """The bombs are of a thousand times their size; a layer within a layer is none of HTTP's."""
    plain = bytes(5 * MEBIBYTE)
    bombs = {"gzip": gzip.compress(bytes(200 * MEBIBYTE)), "deflate": zlib.compress(bytes(2**27))}
    before = resident_bytes(running.process.pid)
    for _ in range(TIMES):
        for encoding, bomb in bombs.items():
            headers = {"Content-Encoding": encoding}
            url = running.url + path
            answer = httpx.post(url, content=bomb, headers=headers, timeout=PATIENCE_S)
            assert answer.status_code == 413
        whole = httpx.post(running.url + path, content=plain, timeout=PATIENCE_S)
        pieces = httpx.post(
            running.url + path, content=iter([bytes(2**16)] * 80), timeout=PATIENCE_S
        )
        assert whole.status_code == pieces.status_code == 413
    assert resident_bytes(running.process.pid) < before + MOST_GROWTH


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip, deflate", "br", "x" * 1000])
def test_other_packings_are_refused(running: Server, encoding: str) -> None:
    packed = gzip.compress(gzip.compress(asked()))
    headers = {"Content-Encoding": encoding}
    answer = httpx.post(running.url + INFER, content=packed, headers=headers, timeout=PATIENCE_S)
    assert answer.status_code == 415
    assert len(answer.content) < 300


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/repository/models/m/load"])
def test_a_command_has_a_small_body(running: Server, path: str) -> None:
    body = b'{"a":[' + b"0," * 40_000 + b"0]}"
    answer = httpx.post(running.control + path, content=body, timeout=PATIENCE_S)
    assert answer.status_code == 413
    assert answer.json() == {"error": "the body is larger than 65536 bytes"}


def test_the_server_serves_as_before(running: Server, figure: Callable[..., None]) -> None:
    answer = httpx.post(running.url + INFER, content=asked(), timeout=PATIENCE_S)
    assert answer.json()["outputs"][0]["data"] == [2, 4, 6]
    image = httpx.post(running.url + PREDICT, content=grey(255), timeout=PATIENCE_S)
    assert image.json()["predictions"][0]["label"] == "bright"
    figure("Bounds of what a client says", kinds=2 * len(V2) + len(V1), crashed=0)
