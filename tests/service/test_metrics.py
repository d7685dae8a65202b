"""GET /metrics."""

import re
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from tests.service.apps import running, settings
from tests.service.images import grey

pytestmark = pytest.mark.anyio


async def scrape(client: httpx.AsyncClient) -> dict[str, float]:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def test_requests_batches_and_phases_are_counted(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await client.post("/models/brightness/predict", content=grey(0))
    found = await scrape(client)
    model = '{model="brightness",version="1"}'
    route = '{route="/models/{name}/predict"'
    assert found[f"foldserve_requests_total{route}" + ',status="200"}'] == 3
    assert found[f"foldserve_request_seconds_count{route}" + "}"] == 3
    assert found["foldserve_decode_seconds_count"] == 3
    assert found[f"foldserve_queue_seconds_count{model}"] == 3
    assert found[f"foldserve_run_seconds_count{model}"] == 3
    assert found[f"foldserve_batch_rows_sum{model}"] == 3
    assert found[f"foldserve_waiting_rows{model}"] == 0
    assert found[f"foldserve_model_ready{model}"] == 1
    assert found["process_resident_memory_bytes"] > 0


async def test_a_model_that_is_broken_is_counted_as_not_ready(models: Path) -> None:
    (models / "doubler" / "12" / "model.onnx").write_bytes(b"garbage")
    async with running(create_app(settings(models))) as client:
        found = await scrape(client)
    assert found['foldserve_model_ready{model="doubler",version="12"}'] == 0
    assert found['foldserve_model_ready{model="doubler",version="1"}'] == 1


async def test_no_label_is_a_clients_choice(client: httpx.AsyncClient) -> None:
    await client.get("/nothing/from-me")
    await client.get("/models/from-me")
    await client.request("FROM-ME", "/models")
    text = (await client.get("/metrics")).text
    assert "from-me" not in text.lower()
    assert 'route="unmatched",status="404"' in text


async def test_two_apps_count_apart(models: Path) -> None:
    first, second = (create_app(settings(models)) for _ in range(2))
    async with running(first) as one, running(second) as other:
        await one.get("/models")
        assert any("/models" in name for name in await scrape(one))
        assert not any(re.search(r'route="/models"', name) for name in await scrape(other))
