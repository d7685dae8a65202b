"""Triton's clients, unchanged, look after the models of a real server."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.repository import metadata
from tests.clients.conftest import PATIENCE_S
from tests.service import servers, zoo

READY = [
    {"name": name, "version": "1", "state": "READY", "reason": ""}
    for name in ("brightness", "doubler")
]


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def said(
    request: pytest.FixtureRequest,
    clients_python: Path,
    root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    models = tmp_path_factory.mktemp("managed")
    zoo.put(models, "brightness", 1, zoo.brightness_classifier())
    zoo.put(models, "doubler", 1, zoo.doubler())
    cases = models / "cases.json"
    cases.write_text("[]")
    with servers.server(models, CONTROL_PORT=0, WORKERS=request.param) as server:
        done = subprocess.run(
            [
                clients_python,
                "-m",
                "tests.clients.scripts.triton_management",
                server.control.removeprefix("http://"),
                cases,
            ],
            cwd=root,
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        assert server.stop() == 0
    return json.loads(done.stdout)


def test_the_clients_read_the_configuration(said: Any) -> None:
    config = said["blocking"]["config"]
    assert config == said["asyncio"]["config"]
    assert (config["name"], config["max_batch_size"]) == ("doubler", 32)
    assert config["input"][0]["dims"] == [3]
    assert said["blocking"]["version"] == "doubler"
    assert said["blocking"]["extensions"] == list(metadata.EXTENSIONS)


def test_the_configuration_is_one_of_tritons_messages(said: Any) -> None:
    understood = said["blocking"]["understood"]
    assert {"name", "platform", "input", "output", "dynamic_batching"} <= set(understood)


def test_the_counters_move(said: Any) -> None:
    assert (said["blocking"]["counted"], said["asyncio"]["counted"]) == (2, 2)
    assert said["blocking"]["all"] == 2


def test_a_model_goes_and_comes_in_every_worker(said: Any) -> None:
    blocking = said["blocking"]
    assert blocking["unloaded"] == blocking["loaded"] == {"done": True}
    assert (blocking["gone"], blocking["back"]) == (False, True)
    assert "is unavailable" in blocking["refused"]["error"]
    assert blocking["index"] == said["asyncio"]["index"] == READY
    assert blocking["index of the unloaded"] == [
        READY[0],
        READY[1] | {"state": "UNAVAILABLE", "reason": "unloaded"},
    ]
    assert (said["asyncio"]["gone"], said["asyncio"]["back"]) == (False, True)


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ("other configuration", "400", "parameters.config.max_batch_size"),
        ("unknown", "404", "no folder of this name"),
        ("shared memory", "404", "nothing at this path"),
    ],
)
def test_what_cannot_be_done_is_the_clients_own_error(
    said: Any, asked: str, status: str, words: str
) -> None:
    refused = said["blocking"][asked]
    assert refused["status"] == status
    assert words in refused["error"]
