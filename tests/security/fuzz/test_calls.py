"""Damaged calls and connections of gRPC: no status but the intended, no crash, hang or growth."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.security.fuzz import calls, seeds
from tests.security.fuzz.judgement import Search
from tests.security.fuzz.served import models
from tests.security.fuzz.target import (
    SECONDS,
    SEED,
    SETTLING_S,
    Watch,
    corpus,
    keep,
    send_all,
    tell,
)
from tests.service.servers import Server, server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = models(tmp_path_factory.mktemp("models"))
    bounds = {"MAX_BODY_BYTES": 2**20, "MAX_IMAGE_PIXELS": 10**6, "RUN_TIMEOUT_S": 2}
    ports = {"GRPC_PORT": 0, "CONTROL_GRPC_PORT": 0}
    with server(folder, WORKERS=2, ACCESS_LOG="none", **ports, **bounds) as process:
        yield process


@pytest.fixture(scope="module")
def watch(running: Server) -> Iterator[Watch]:
    found = Watch(running)
    yield found
    assert found.complaints() == []
    assert running.stop() == 0
    found.end()


@pytest.mark.parametrize("name", ["calls", "rpc_commands"])
async def test_damaged_messages_have_the_intended_status(
    running: Server, watch: Watch, tmp_path: Path, name: str, figure: Callable[..., None]
) -> None:
    found = Search(name)
    kind, address = {
        "calls": (calls.inferences, running.grpc),
        "rpc_commands": (calls.commands, running.control_grpc),
    }[name]
    await calls.call_all(found, address, kind(SEED + 1), SETTLING_S, watch.alive)
    watch.begin()
    await calls.call_all(found, address, map(calls.as_call, corpus(name)), alive=watch.alive)
    await calls.call_all(found, address, kind(SEED), SECONDS, watch.alive)
    tell(found)
    assert not keep(found, tmp_path)
    assert watch.complaints() == []
    assert found.answers["OK"]
    assert found.answers["INVALID_ARGUMENT"]
    figure(f"Fuzzing of {name}", inputs=found.tried, crashed=0, hung=0, wrong=0)


async def test_damaged_connections_end(
    running: Server, watch: Watch, tmp_path: Path, figure: Callable[..., None]
) -> None:
    found = Search("connections")
    port = int(running.grpc.rpartition(":")[2])
    inputs = calls.connections(SEED)
    watch.begin()
    send = functools.partial(send_all, found, port, alive=watch.alive, take=Search.take_end)
    await send(corpus("connections"))
    await send(inputs, SECONDS)
    tell(found)
    assert not keep(found, tmp_path)
    assert watch.complaints() == []
    figure("Fuzzing of connections of gRPC", inputs=found.tried, crashed=0, hung=0, wrong=0)


async def test_the_server_answers_as_before(running: Server, watch: Watch) -> None:
    found = Search("right")
    right = [("ServerLive", b""), ("ModelInfer", seeds.calls()[0])] * 10
    await calls.call_all(found, running.grpc, iter(right))
    assert found.answers == {"OK": 20}
    assert watch.complaints() == []
