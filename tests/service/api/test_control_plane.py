"""Load and unload over HTTP, with requests on their way."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import onnx
import pytest
from anyio.lowlevel import checkpoint
from onnx import helper

from service.app import create_app
from service.errors import LoadFailed, ModelNotFound
from service.inference.model import RunOptions
from service.repository.commands import Commands
from service.repository.control import Control
from service.repository.entries import Entry, Repository
from service.repository.hub import Answer, Command, OnCommand, refuse
from tests.service import zoo
from tests.service.apps import running, serving, settings
from tests.service.fakes import PATIENCE_S, FakeModel

pytestmark = pytest.mark.anyio

TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
INFER = "/v2/models/doubler/infer"
LOAD = "/v2/repository/models/doubler/load"
UNLOAD = "/v2/repository/models/doubler/unload"


def squarer() -> onnx.ModelProto:
    """y = x · x."""
    shape = ("batch", 3)
    return zoo.graph_model(
        [helper.make_node("Mul", ["x", "x"], ["y"])],
        [zoo.info("x", shape)],
        [zoo.info("y", shape)],
    )


def replace(models: Path, version: int, content: bytes) -> None:
    """Put a file in the place of another at once, as who deploys should."""
    path = models / "doubler" / str(version) / "model.onnx"
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


@pytest.fixture
async def control(models: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(models, control_port=8002) as client:
        yield client


async def infer(client: httpx.AsyncClient, path: str = INFER) -> Any:
    answer = await client.post(path, json={"inputs": [TENSOR]})
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"][0]["data"]


async def index(client: httpx.AsyncClient) -> dict[str, tuple[str, str]]:
    answer = (await client.post("/v2/repository/index")).json()
    return {f"{e['name']}/{e['version']}": (e["state"], e["reason"]) for e in answer}


@pytest.mark.parametrize("path", [LOAD, UNLOAD])
async def test_without_the_setting_nothing_is_loaded_or_unloaded(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.post(path)
    assert answer.status_code == 403
    assert answer.json() == {
        "error": "load / unload is taken over FOLDSERVE_CONTROL_PORT or"
        " FOLDSERVE_CONTROL_GRPC_PORT alone"
    }
    assert await infer(client) == [2, 4, 6]


async def test_a_new_model_and_a_new_version_are_loaded(
    models: Path, control: httpx.AsyncClient
) -> None:
    zoo.put(models, "late", 1, squarer())
    zoo.put(models, "doubler", 13, squarer())
    assert (await index(control))["late/1"] == ("UNAVAILABLE", "not loaded yet")
    for model in ("late", "doubler"):
        answer = await control.post(f"/v2/repository/models/{model}/load", json={})
        assert (answer.status_code, answer.json()) == (200, {})
        assert await infer(control, f"/v2/models/{model}/infer") == [1, 4, 9]
    assert (await index(control))["late/1"] == ("READY", "")


async def test_a_model_that_is_not_there_is_not_found(control: httpx.AsyncClient) -> None:
    for command in ("load", "unload"):
        answer = await control.post(f"/v2/repository/models/nothing/{command}")
        assert answer.status_code == 404
        assert answer.json().keys() == {"error"}


async def test_an_unloaded_model_answers_503_until_it_is_loaded(
    control: httpx.AsyncClient,
) -> None:
    body = {"parameters": {"unload_dependents": False}}  # as Triton's client sends it
    assert (await control.post(UNLOAD, json=body)).status_code == 200
    answer = await control.post(INFER, json={"inputs": [TENSOR]})
    assert answer.status_code == 503
    assert "is unavailable" in answer.json()["error"]
    assert (await index(control))["doubler/12"] == ("UNAVAILABLE", "unloaded")
    listed = (await control.get("/models/doubler")).json()
    assert (listed["state"], listed["versions"][0]["reason"]) == ("unavailable", "unloaded")
    assert (await control.get("/v2/health/ready")).status_code == 200
    assert (await control.post(UNLOAD)).status_code == 200  # twice is no error
    assert (await control.post(LOAD)).status_code == 200
    assert await infer(control) == [2, 4, 6]


async def test_a_broken_file_is_an_error_and_the_old_model_stays(
    models: Path, control: httpx.AsyncClient
) -> None:
    replace(models, 12, b"garbage")
    answer = await control.post(LOAD)
    assert answer.status_code == 500
    assert "version 12: the file is no ONNX model" in answer.json()["error"]
    assert str(models) not in answer.text
    assert await infer(control) == [2, 4, 6]
    state, reason = (await index(control))["doubler/12"]
    assert state == "READY"
    assert reason.startswith("a newer file is not served: the file is no ONNX model")


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (LOAD, {"parameters": {"config": {}}}, "parameters.config must be a JSON object as"),
        (LOAD, {"parameters": {"config": '{"max_batch_size": 1}'}}, "parameters.config.max_batch"),
        (LOAD, {"parameters": {"file:1/model.onnx": "AAAA"}}, "'file:1/model.onnx'"),
        (LOAD, {"parameters": []}, "parameters must be a JSON object"),
        (UNLOAD, {"parameters": {"other": 1}}, "'other'"),
        (UNLOAD, [], "must be a JSON object"),
    ],
)
async def test_what_would_change_the_models_meaning_is_refused_by_name(
    control: httpx.AsyncClient, path: str, body: Any, words: str
) -> None:
    answer = await control.post(path, json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert await infer(control) == [2, 4, 6]


async def test_a_swap_is_rolled_back_by_the_configuration_of_a_load(
    models: Path, control: httpx.AsyncClient
) -> None:
    async def load(config: dict[str, Any] | None) -> dict[str, Any]:
        body = {} if config is None else {"parameters": {"config": json.dumps(config)}}
        answer = await control.post(LOAD, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = (await control.get("/v2/models/doubler/config")).json()
        return found

    zoo.put(models, "doubler", 13, squarer())
    swapped = await load(None)
    assert await infer(control) == [1, 4, 9]
    back = {"version_policy": {"specific": {"versions": [1, 12]}}}
    rolled_back = await load(swapped | back)
    assert rolled_back == swapped | back
    assert await infer(control) == [2, 4, 6]
    gone = await control.post(f"/v2/models/doubler/versions/13{INFER[-6:]}", json={})
    assert gone.status_code == 404
    assert (await index(control))["doubler/13"] == (
        "UNAVAILABLE",
        "the version policy is 1,12",
    )
    latest = await load({"version_policy": {"latest": {}}})
    assert latest["version_policy"] == {"latest": {"num_versions": 1}}
    assert await infer(control) == [1, 4, 9]
    assert (await control.get("/models/doubler")).json()["versions"][0]["version"] == "13"
    assert (await load(None))["version_policy"] == {"all": {}}
    assert len((await control.get("/models/doubler")).json()["versions"]) == 3


async def test_a_rollback_to_nothing_leaves_what_is_served(control: httpx.AsyncClient) -> None:
    config = json.dumps({"version_policy": {"specific": {"versions": [7]}}})
    answer = await control.post(LOAD, json={"parameters": {"config": config}})
    assert answer.status_code == 500
    assert answer.json() == {"error": "there is no version 7; there is 1, 12"}
    assert await infer(control) == [2, 4, 6]


async def test_reloads_under_load_lose_no_request(models: Path, control: httpx.AsyncClient) -> None:
    seen: Counter[tuple[float, ...]] = Counter()
    ending = asyncio.Event()

    async def ask() -> None:
        while not ending.is_set():
            seen[tuple(await infer(control))] += 1

    async def reload() -> None:
        for model in (squarer(), zoo.doubler(), squarer()):
            replace(models, 12, model.SerializeToString())
            assert (await control.post(LOAD)).status_code == 200
        ending.set()

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(reload(), *(ask() for _ in range(8)))
    assert seen.keys() == {(2, 4, 6), (1, 4, 9)}
    assert await infer(control) == [1, 4, 9]


async def test_an_unload_under_load_answers_each_request_or_says_that_the_model_is_gone(
    control: httpx.AsyncClient,
) -> None:
    statuses: list[int] = []

    async def ask() -> None:
        while 503 not in statuses:
            answer = await control.post(INFER, json={"inputs": [TENSOR]})
            statuses.append(answer.status_code)

    async with asyncio.timeout(PATIENCE_S):
        asking = asyncio.gather(*(ask() for _ in range(8)))
        await infer(control)
        assert (await control.post(UNLOAD)).status_code == 200
        await asking
    assert set(statuses) == {200, 503}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            INFER,
            b'{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}',
        ),
        ("/v1/models/doubler:predict", b'{"instances": [[1, 2, 3]]}'),
    ],
)
async def test_a_request_whose_body_still_comes_is_answered_by_the_model_that_it_found(
    models: Path, control: httpx.AsyncClient, path: str, body: bytes
) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield body[:20]
        replace(models, 12, squarer().SerializeToString())
        loading.append(asyncio.create_task(control.post(LOAD)))
        async with asyncio.timeout(PATIENCE_S):
            while await infer(control) != [1, 4, 9]:  # the new model answers others
                pass
        yield body[20:]

    loading: list[asyncio.Task[httpx.Response]] = []
    answer = await control.post(path, content=slowly())
    assert answer.status_code == 200
    assert b"[2.0,4.0,6.0]" in answer.content
    assert (await loading[0]).status_code == 200


async def test_a_run_in_progress_is_finished_before_its_model_goes(models: Path) -> None:
    fake = FakeModel(held=True)

    def open_fake(path: Path, _options: RunOptions) -> FakeModel:
        return fake if path.parent.name == "12" else FakeModel()

    app = create_app(settings(models, control_port=8002, warm_up=False), open_fake)
    async with running(app) as client:
        asking = asyncio.create_task(infer(client))
        assert await asyncio.to_thread(fake.began.acquire, timeout=PATIENCE_S)
        unloading = asyncio.create_task(client.post(UNLOAD))
        refused = 200
        while refused != 503:
            await checkpoint()  # the client and the app are one task, which never waits
            refused = (await client.get("/v2/models/doubler/ready")).status_code
        assert not unloading.done()
        fake.go.set()
        assert await asking == [2, 4, 6]
        assert (await unloading).status_code == 200


async def test_after_a_reload_the_queue_of_the_new_model_is_measured(models: Path) -> None:
    opened: list[FakeModel] = []

    def open_fake(_path: Path, _options: RunOptions) -> FakeModel:
        opened.append(FakeModel(held=True))
        return opened[-1]

    app = create_app(settings(models, control_port=8002, warm_up=False), open_fake)
    async with running(app) as client:
        replace(models, 12, zoo.identity(zoo.FLOAT).SerializeToString())
        assert (await client.post(LOAD)).status_code == 200
        new = opened[-1]
        asking = [asyncio.create_task(infer(client))]
        assert await asyncio.to_thread(new.began.acquire, timeout=PATIENCE_S)
        asking.append(asyncio.create_task(infer(client)))
        waiting = 'foldserve_waiting_rows{model="doubler",version="12"} 1.0'
        async with asyncio.timeout(PATIENCE_S):
            while waiting not in (await client.get("/metrics")).text:
                await checkpoint()
        new.go.set()
        assert await asyncio.gather(*asking) == [[2, 4, 6], [2, 4, 6]]


class SeveralWorkers:
    """A hub of this worker and others, whose answers are given."""

    def __init__(self, *others: Answer) -> None:
        self.on_command: OnCommand = refuse
        self.history: Sequence[Command] = ()
        self.others = others
        self.commands: list[Command] = []

    async def everywhere(self, command: Command) -> list[Answer]:
        self.commands.append(command)
        return [await self.on_command(command), *self.others]

    async def join(self) -> None:
        """Nothing was commanded before its time."""


def commands(hub: SeveralWorkers) -> Commands:
    """Of a repository with the model m, whose file is broken."""
    entry = Entry("m", "1", Path("model.onnx"))

    async def fail(entry: Entry) -> Entry:
        return entry.failed("it is broken")

    control = Control(Repository([entry]), lambda: [entry], fail, lambda _entry: None, 1)
    return Commands(hub, control, allowed=True)


async def test_a_worker_that_fails_fails_the_command_with_its_reason() -> None:
    hub = SeveralWorkers({"error": "worker 2 is gone"}, {})
    with pytest.raises(LoadFailed, match="worker 2 is gone"):
        await commands(hub).unload("m")
    assert hub.commands == [{"unload": "m"}]


async def test_what_all_workers_say_is_said_once() -> None:
    hub = SeveralWorkers({"error": "version 1: it is broken", "code": "load_failed"})
    with pytest.raises(LoadFailed) as caught:
        await commands(hub).load("m")
    assert str(caught.value) == "version 1: it is broken"


async def test_a_model_that_went_meanwhile_is_not_found() -> None:
    hub = SeveralWorkers()
    asked = commands(hub)
    missing = {"error": "there is no such model", "code": "model_not_found"}

    async def find_nothing(_command: Command) -> Answer:
        return missing

    hub.on_command = find_nothing
    with pytest.raises(ModelNotFound, match="there is no such model"):
        await asked.unload("m")


@pytest.mark.parametrize("command", ["load", "unload"])
async def test_workers_never_hear_of_a_model_that_is_none(command: str) -> None:
    hub = SeveralWorkers()
    asked = commands(hub)
    with pytest.raises(ModelNotFound):
        await getattr(asked, command)("nothing")
    assert hub.commands == []
