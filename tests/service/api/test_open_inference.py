"""The protocol's metadata and health."""

from importlib.metadata import version
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.repository.metadata import EXTENSIONS
from tests.service.apps import client_of, running, service_of, settings

pytestmark = pytest.mark.anyio

Client = httpx.AsyncClient


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_the_server_says_what_it_is(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.json() == {
        "name": "foldserve",
        "version": version("foldserve"),
        "extensions": list(EXTENSIONS),
    }


@pytest.mark.parametrize("path", ["/v2/models/doubler", "/v2/models/doubler/versions/1"])
async def test_a_model_says_its_signature(client: Client, path: str) -> None:
    assert (await client.get(path)).json() == {
        "name": "doubler",
        "versions": ["1", "12"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }


@pytest.mark.parametrize(
    "path", ["/v2/models/doubler/ready", "/v2/models/doubler/versions/12/ready"]
)
async def test_a_model_that_is_served_is_ready(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.json() == {"name": "doubler", "ready": True}


async def test_a_server_with_its_models_is_live_and_ready(client: Client) -> None:
    live = await client.get("/v2/health/live")
    ready = await client.get("/v2/health/ready")
    assert (live.status_code, live.json()) == (200, {"live": True})
    assert (ready.status_code, ready.json()) == (200, {"live": True, "ready": True})


async def test_a_broken_model_does_not_make_the_server_unready(models: Path) -> None:
    (models / "doubler" / "12" / "model.onnx").write_bytes(b"garbage")
    async with running(create_app(settings(models))) as client:
        assert (await client.get("/v2/health/ready")).status_code == 200
        assert (await client.get("/v2/models/doubler/versions/12/ready")).status_code == 503
        assert (await client.get("/v2/models/doubler/ready")).status_code == 200


async def test_a_version_that_cannot_be_asked_for_is_not_named(models: Path) -> None:
    (models / "doubler" / "12" / "model.onnx").write_bytes(b"garbage")
    async with running(create_app(settings(models))) as client:
        assert (await client.get("/v2/models/doubler")).json()["versions"] == ["1"]


async def test_a_draining_server_is_live_not_ready_and_still_answers(models: Path) -> None:
    app = create_app(settings(models))
    async with running(app) as client:
        service_of(app).drain()
        ready = await client.get("/v2/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"error": "the server is draining"})
        assert (await client.get("/v2/health/live")).status_code == 200
        assert (await client.get("/v2/models/doubler")).status_code == 200


async def test_before_its_start_and_after_its_end_a_server_is_not_ready(models: Path) -> None:
    app = create_app(settings(models))
    async with client_of(app) as outside:
        before = await outside.get("/v2/health/ready")
        async with running(app):
            during = await outside.get("/v2/health/ready")
        after = await outside.get("/v2/health/ready")
        call = await outside.post("/v2/models/doubler/infer", content=b"{}")
    assert [each.status_code for each in (before, during, after, call)] == [503, 200, 503, 503]
    assert before.json() == {"error": "the server is starting"}
    assert after.json() == {"error": "the server is closed"}
