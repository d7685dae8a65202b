"""curl against a real server: what a person types, and what a script pipes."""

import base64
import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.clients.conftest import PATIENCE_S, Served
from tests.service.pictures import grey

INFER = "/v2/models/open_batch/infer"
IMAGES = "/v2/models/brightness/infer"
BODY = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}
LENGTH = "inference-header-content-length"
BRIGHT = [-15.5, 5.0, 15.5]


class Answer(NamedTuple):
    """What came: header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


Curl = Callable[..., Answer]


@pytest.fixture
def curl(served: Served) -> Curl:
    """Runs curl on a path with more arguments."""

    def run(path: str, *arguments: str) -> Answer:
        command = ["curl", "--silent", "--show-error", "--include", *arguments]
        done = subprocess.run(
            [*command, f"http://{served.http}{path}"],
            capture_output=True,
            check=True,
            timeout=PATIENCE_S,
        )
        head, body = done.stdout.split(b"\r\n\r\n", maxsplit=1)
        first, *lines = head.decode().splitlines()
        headers = dict(line.lower().split(": ", maxsplit=1) for line in lines)
        return Answer(int(first.split()[1]), headers, body)

    return run


@pytest.fixture
def white(tmp_path: Path) -> Path:
    path = tmp_path / "white.png"
    path.write_bytes(grey(255))
    return path


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_says_what_it_is(curl: Curl, path: str) -> None:
    answer = curl(path)
    assert (answer.status, answer.json()["name"]) == (200, "foldserve")


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_health_is_a_status(curl: Curl, path: str) -> None:
    assert curl(path, "--fail").status == 200


def test_json_is_answered_with_json(curl: Curl) -> None:
    answer = curl(INFER, "--data", json.dumps(BODY))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["server-timing"].startswith("decode;dur=")
    assert answer.json() == {
        "model_name": "open_batch",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [2, 4, 6]}],
    }


def test_an_image_is_classified(curl: Curl, white: Path) -> None:
    answer = curl("/models/brightness/predict", "--data-binary", f"@{white}")
    assert answer.json()["predictions"][0]["label"] == "bright"
    answer = curl("/models/brightness/predict", "--form", f"file=@{white}")
    assert answer.json()["predictions"][0]["label"] == "bright"


def values(answer: Answer) -> list[Any]:
    """The one output of a binary answer."""
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH])
    (output,) = json.loads(answer.body[:length])["outputs"]
    assert output["parameters"]["binary_data_size"] == len(answer.body) - length
    found: list[Any] = np.frombuffer(answer.body[length:], "<f4").reshape(output["shape"]).tolist()
    return found


def test_an_image_can_be_all_of_the_body_of_an_inference(curl: Curl, white: Path) -> None:
    answer = curl(IMAGES, "--data-binary", f"@{white}", "--header", f"{LENGTH}: 0")
    assert values(answer) == [BRIGHT]


def test_a_tensor_can_be_all_of_the_body(curl: Curl, tmp_path: Path) -> None:
    tensor = tmp_path / "tensor"
    tensor.write_bytes(np.array([1, 2, 3], np.float32).tobytes())
    answer = curl(INFER, "--data-binary", f"@{tensor}", "--header", f"{LENGTH}: 0")
    assert values(answer) == [[2, 4, 6]]


def test_bodies_may_be_packed_both_ways(curl: Curl, tmp_path: Path) -> None:
    ones = {"name": "x", "shape": [1, 4096], "datatype": "FP32", "data": [1] * 4096}
    packed = tmp_path / "body.gz"
    packed.write_bytes(gzip.compress(json.dumps({"inputs": [ones]}).encode()))
    encoded = ("--data-binary", f"@{packed}", "--header", "Content-Encoding: gzip")
    path = "/v2/models/long_rows/infer"
    assert curl(path, *encoded).json()["outputs"][0]["data"] == [2] * 4096
    answer = curl(path, *encoded, "--compressed")
    assert answer.headers["content-encoding"] in {"gzip", "deflate"}
    assert int(answer.headers["content-length"]) < 4096
    assert answer.json()["outputs"][0]["data"] == [2] * 4096


WHITE = {"b64": base64.b64encode(grey(255)).decode()}


@pytest.mark.parametrize(
    ("model", "body", "found"),
    [
        ("open_batch", {"instances": [[1, 2, 3], [4, 5, 6]]}, [[2, 4, 6], [8, 10, 12]]),
        ("open_batch", {"inputs": {"x": [[1, 2, 3]]}}, [[2, 4, 6]]),
        (
            "two_in_two_out",
            {"instances": [{"a": [1, 2], "b": [3, 5]}]},
            [{"sum": [4, 7], "difference": [-2, -3]}],
        ),
        ("mean", {"inputs": [[1, 2, 3], [4, 5, 9]]}, 4),
        ("brightness", {"instances": [WHITE, WHITE]}, [BRIGHT, BRIGHT]),
    ],
)
def test_the_forms_of_tensorflow_serving_are_answered(
    curl: Curl, model: str, body: Any, found: Any
) -> None:
    answer = curl(f"/v1/models/{model}:predict", "--data", json.dumps(body))
    assert answer.json() == {"predictions" if "instances" in body else "outputs": found}


def test_json_holds_images_in_base64(curl: Curl) -> None:
    images = {"name": "input", "shape": [1], "datatype": "BYTES", "data": [WHITE]}
    answer = curl(IMAGES, "--data", json.dumps({"inputs": [images]}))
    assert answer.json()["outputs"][0]["data"] == BRIGHT


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v2/models/nothing/infer", BODY, 404, "there is no model of this name"),
        (INFER, {}, 400, "inputs must be a list"),
        ("/v2/nothing", BODY, 404, "there is nothing at this path"),
    ],
)
def test_an_error_is_one_sentence(
    curl: Curl, path: str, body: Any, status: int, message: str
) -> None:
    answer = curl(path, "--data", json.dumps(body))
    assert answer.status == status
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].startswith(message)


def test_a_wrong_length_of_the_json_is_refused(curl: Curl) -> None:
    answer = curl(INFER, "--data", json.dumps(BODY), "--header", f"{LENGTH}: 9999")
    assert answer.status == 400
    assert "9999" in answer.json()["error"]


def test_the_index_and_the_configuration_are_shown(curl: Curl) -> None:
    index = curl("/v2/repository/index", "--request", "POST").json()
    found = {(each["name"], each["version"]): each["state"] for each in index}
    assert found["versions", "2"] == "READY"
    config = curl("/v2/models/open_batch/config").json()
    assert (config["name"], config["max_batch_size"]) == ("open_batch", 32)
