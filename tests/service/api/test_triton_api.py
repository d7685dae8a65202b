"""Triton's extensions over REST: configuration, statistics, repository index."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from service.repository import metadata
from tests.service import zoo
from tests.service.apps import serving

pytestmark = pytest.mark.anyio

TENSOR = {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1] * 6}


async def test_the_server_names_the_extensions_that_it_has(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v2")).json()["extensions"] == list(metadata.EXTENSIONS)


async def test_a_configuration_is_that_of_the_version(client: httpx.AsyncClient) -> None:
    image = (await client.get("/v2/models/brightness/config")).json()
    assert (image["name"], image["max_batch_size"]) == ("brightness", 32)
    assert image["input"][0]["dims"] == [1, 4, 4]
    assert image["input"][0]["format"] == "FORMAT_NCHW"
    versions = (await client.get("/v2/models/doubler/versions/1/config")).json()
    assert versions["input"][0]["dims"] == [3]


async def test_metadata_has_the_dimension_that_the_configuration_leaves_out(
    client: httpx.AsyncClient,
) -> None:
    # perf_analyzer drops the first dimension where max_batch_size is not 0.
    shape = (await client.get("/v2/models/doubler")).json()["inputs"][0]["shape"]
    dims = (await client.get("/v2/models/doubler/config")).json()["input"][0]["dims"]
    assert shape == [-1, *dims]


@pytest.mark.parametrize("path", ["config", "stats"])
async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    for model in ("nothing", "doubler/versions/7"):
        answer = await client.get(f"/v2/models/{model}/{path}")
        assert answer.status_code == 404
        assert answer.json().keys() == {"error"}


async def infer(client: httpx.AsyncClient, path: str = "doubler", **changes: Any) -> int:
    body = {"inputs": [TENSOR | changes]}
    return (await client.post(f"/v2/models/{path}/infer", json=body)).status_code


def by_version(answer: httpx.Response) -> dict[str, Any]:
    return {f"{each['name']}/{each['version']}": each for each in answer.json()["model_stats"]}


async def test_statistics_count_requests_rows_and_runs(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        assert await infer(client) == 200
    found = by_version(await client.get("/v2/models/doubler/stats"))
    assert found.keys() == {"doubler/1", "doubler/12"}
    served = found["doubler/12"]
    assert (served["inference_count"], served["execution_count"]) == (6, 3)
    assert served["last_inference"] > 1_600_000_000_000  # milliseconds, of this century
    outcomes = served["inference_stats"]
    assert (outcomes["success"]["count"], outcomes["fail"]["count"]) == (3, 0)
    assert outcomes["compute_infer"]["count"] == 3
    assert 0 < outcomes["compute_infer"]["ns"] <= outcomes["success"]["ns"]
    assert [each["batch_size"] for each in served["batch_stats"]] == [2]
    assert found["doubler/1"]["inference_count"] == 0


async def test_statistics_move_between_two_looks(client: httpx.AsyncClient) -> None:
    before = by_version(await client.get("/v2/models/doubler/versions/12/stats"))["doubler/12"]
    assert await infer(client) == 200
    after = by_version(await client.get("/v2/models/doubler/versions/12/stats"))["doubler/12"]
    assert after["inference_count"] - before["inference_count"] == 2


async def test_statistics_of_all_models_and_of_one_version(client: httpx.AsyncClient) -> None:
    everything = by_version(await client.get("/v2/models/stats"))
    assert everything.keys() == {"brightness/1", "doubler/1", "doubler/12"}
    one = by_version(await client.get("/v2/models/doubler/versions/1/stats"))
    assert one.keys() == {"doubler/1"}


async def test_the_index_lists_every_version_with_its_state(models: Path) -> None:
    zoo.put(models, "broken", 1, zoo.doubler()).write_bytes(b"garbage")
    async with serving(models) as client:
        answer = (await client.post("/v2/repository/index")).json()
        ready = (await client.post("/v2/repository/index", json={"ready": True})).json()
    states = {f"{each['name']}/{each['version']}": each["state"] for each in answer}
    assert states == {
        "brightness/1": "READY",
        "broken/1": "UNAVAILABLE",
        "doubler/1": "READY",
        "doubler/12": "READY",
    }
    reasons = {each["name"]: each["reason"] for each in answer}
    assert "no ONNX model" in reasons["broken"]
    assert reasons["brightness"] == ""
    assert [each["name"] for each in ready] == ["brightness", "doubler", "doubler"]


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"{", "not JSON"), (b"[]", "JSON object"), (b'{"ready": 1}', "true or false")],
)
async def test_an_index_that_cannot_be_read_is_refused(
    client: httpx.AsyncClient, body: bytes, words: str
) -> None:
    answer = await client.post("/v2/repository/index", content=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/logging",
        "/v2/trace/setting",
        "/v2/models/doubler/trace/setting",
        "/v2/systemsharedmemory/status",
        "/v2/cudasharedmemory/region/a/register",
    ],
)
async def test_an_extension_that_is_not_there_is_a_plain_404(
    client: httpx.AsyncClient, path: str
) -> None:
    for answer in (await client.get(path), await client.post(path, json={})):
        assert answer.status_code == 404
        assert answer.json() == {
            "error": "there is nothing at this path; GET /docs lists what there is"
        }
