"""GET /models and /models/{name}."""

from pathlib import Path

import httpx
import pytest
import structlog

from tests.service import zoo
from tests.service.apps import serving

pytestmark = pytest.mark.anyio


async def test_every_model_is_listed_with_its_versions(client: httpx.AsyncClient) -> None:
    ready = {"state": "ready", "reason": None}
    assert (await client.get("/models")).json() == {
        "models": [
            {
                "name": "brightness",
                "version": "1",
                "state": "ready",
                "versions": [{"version": "1", **ready}],
            },
            {
                "name": "doubler",
                "version": "12",
                "state": "ready",
                "versions": [{"version": "1", **ready}, {"version": "12", **ready}],
            },
        ]
    }


async def test_a_model_shows_signature_manifest_and_the_provider_that_runs(
    client: httpx.AsyncClient,
) -> None:
    body = (await client.get("/models/brightness")).json()
    version = body["versions"][0]
    assert version["provider"] == "CPU"
    assert version["batched"] is True
    assert version["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 4, 4]}]
    assert version["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}]
    assert version["manifest"] == zoo.manifest_document()


async def test_a_plain_model_has_no_manifest_to_show(client: httpx.AsyncClient) -> None:
    body = (await client.get("/models/doubler")).json()
    assert [each["manifest"] for each in body["versions"]] == [None, None]


async def test_a_broken_version_is_reported_and_stops_no_other(models: Path) -> None:
    (models / "doubler" / "12" / "model.onnx").write_bytes(b"garbage")
    (models / "doubler" / "13").mkdir()
    zoo.put(models, "doubler", 14, zoo.brightness_classifier(format_version=99))
    zoo.put(models, "hopeless", 1, zoo.brightness_classifier(labels=["one"]))
    async with serving(models) as client:
        listed = (await client.get("/models")).json()["models"]
        detail = (await client.get("/models/doubler")).json()
        infer = await client.post(
            "/v2/models/doubler/infer",
            json={"inputs": [{"name": "x", "shape": [0, 3], "datatype": "FP32", "data": []}]},
        )
    doubler = next(each for each in listed if each["name"] == "doubler")
    hopeless = next(each for each in listed if each["name"] == "hopeless")
    assert (doubler["version"], doubler["state"]) == ("1", "ready")
    assert [each["state"] for each in doubler["versions"]] == [
        "ready",
        "failed",
        "failed",
        "failed",
    ]
    reasons = [each["reason"] for each in doubler["versions"][1:]]
    assert "no ONNX model" in reasons[0]
    assert reasons[1] == "there is no file model.onnx in the version's folder"
    known = "this service reads 1 and 2 and 3 and 4"
    assert reasons[2] == f"manifest format_version 99 is unknown; {known}"
    assert not any("/" in reason for reason in reasons)
    assert hopeless["state"] == "failed"
    assert detail["versions"][1]["inputs"] is None
    assert infer.json()["model_version"] == "1"


async def test_a_file_that_fails_as_no_other_does_stops_no_other_model(models: Path) -> None:
    damaged = zoo.doubler(metadata={"author": "nobody"}).SerializeToString()
    path = zoo.put(models, "damaged", 1, zoo.doubler())
    path.write_bytes(damaged.replace(b"nobody", b"\xff" * 6))  # no UTF-8: the bindings raise
    zoo.put(models, "huge", 1, zoo.doubler(shape=(2**31, 2**31)))  # its zeros fit in no memory
    async with serving(models) as client:
        listed = (await client.get("/models")).json()["models"]
    versions = {each["name"]: each["versions"][0] for each in listed}
    reason = "a name, or the metadata, in the file is not UTF-8"
    assert versions["damaged"]["reason"] == reason
    assert versions["huge"]["state"] == "failed"
    assert versions["brightness"]["state"] == "ready"


async def test_a_folder_that_is_no_model_is_told_in_the_log(models: Path) -> None:
    (models / "doubler" / "latest").mkdir()
    with structlog.testing.capture_logs() as lines:
        async with serving(models):
            pass
    ignored = [each["folder"] for each in lines if each["event"] == "folder ignored"]
    assert ignored == ["doubler/latest"]
