"""TensorFlow Serving's protocol over HTTP."""

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service import zoo
from tests.service.apps import serving
from tests.service.pictures import grey

pytestmark = pytest.mark.anyio


async def predict(client: httpx.AsyncClient, path: str, **body: Any) -> Any:
    answer = await client.post(f"/v1/models/{path}:predict", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert "server-timing" in answer.headers
    return answer.json()


def image(level: int) -> dict[str, str]:
    return {"b64": base64.b64encode(grey(level)).decode()}


async def test_rows_answer_rows_and_columns_columns(client: httpx.AsyncClient) -> None:
    rows = await predict(client, "doubler", instances=[[1, 2, 3], [4, 5, 6.5]])
    assert rows == {"predictions": [[2, 4, 6], [8, 10, 13]]}
    columns = await predict(client, "doubler/versions/1", inputs={"x": [[1, 2, 3]]})
    assert columns == {"outputs": [[2, 4, 6]]}


async def test_several_inputs_and_outputs_have_their_names(models: Path) -> None:
    zoo.put(models, "pair", 1, zoo.two_in_two_out())
    async with serving(models) as client:
        rows = await predict(client, "pair", instances=[{"a": [3, 4], "b": [1, 1]}])
        columns = await predict(client, "pair", inputs={"a": [[3, 4]], "b": [[1, 1]]})
    assert rows == {"predictions": [{"sum": [4, 5], "difference": [2, 3]}]}
    assert columns == {"outputs": {"sum": [[4, 5]], "difference": [[2, 3]]}}


async def test_images_come_as_base64_or_as_pixels(client: httpx.AsyncClient) -> None:
    encoded = await predict(client, "brightness", instances=[image(0), image(255)])
    pixels = await predict(client, "brightness", instances=[[[[0] * 4] * 4], [[[255] * 4] * 4]])
    dark, bright = encoded["predictions"]
    assert dark == pytest.approx([10, 5, -10])
    assert bright[2] > bright[0]
    assert encoded == pixels


async def test_a_body_that_is_read_beside_the_event_loop_answers_the_same(
    client: httpx.AsyncClient,
) -> None:
    rows = [[i, 0.5, 2] for i in range(30)]
    long = await predict(client, "doubler", instances=rows, padding=["x" * 20_000])
    assert long["predictions"] == [[2 * i, 1, 4] for i in range(30)]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("nothing", {"instances": [[1, 2, 3]]}, 404),
        ("doubler/versions/7", {"instances": [[1, 2, 3]]}, 404),
        ("doubler", {}, 400),
        ("doubler", {"instances": [[1]]}, 400),
        ("doubler", {"instances": [[1, 2, 3]] * 33}, 400),
        ("brightness", {"instances": [{"b64": "aGVsbG8="}]}, 415),
    ],
)
async def test_an_error_is_the_protocols(
    client: httpx.AsyncClient, path: str, body: Any, status: int
) -> None:
    answer = await client.post(f"/v1/models/{path}:predict", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}


async def test_predictions_count_in_the_statistics(client: httpx.AsyncClient) -> None:
    await predict(client, "doubler", instances=[[1, 2, 3], [4, 5, 6]])
    await client.post("/v1/models/doubler:predict", json={"instances": [[1, 2, 3]] * 33})
    (found,) = (await client.get("/v2/models/doubler/versions/12/stats")).json()["model_stats"]
    assert found["inference_count"] == 2
    assert found["inference_stats"]["success"]["count"] == 1
    assert found["inference_stats"]["fail"]["count"] == 1


async def test_the_state_of_a_model_suits_both_protocols(models: Path) -> None:
    zoo.put(models, "doubler", 13, zoo.doubler()).write_bytes(b"garbage")
    async with serving(models) as client:
        names = (await client.get("/v1/models")).json()
        answer = (await client.get("/v1/models/doubler")).json()
        one = (await client.get("/v1/models/doubler/versions/13")).json()
        missing = await client.get("/v1/models/doubler/versions/7")
    assert names == {"models": ["brightness", "doubler"]}
    assert (answer["name"], answer["ready"]) == ("doubler", True)
    states = [(each["version"], each["state"]) for each in answer["model_version_status"]]
    assert states == [("13", "END"), ("12", "AVAILABLE"), ("1", "AVAILABLE")]
    assert one["ready"] is False
    (broken,) = one["model_version_status"]
    assert broken["status"]["error_code"] == "UNKNOWN"
    assert "no ONNX model" in broken["status"]["error_message"]
    assert missing.status_code == 404


@pytest.mark.parametrize("path", ["doubler", "doubler/versions/12"])
async def test_the_prediction_of_a_model_is_only_posted(
    client: httpx.AsyncClient, path: str
) -> None:
    refused = await client.delete(f"/v1/models/{path}:predict")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
