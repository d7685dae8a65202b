"""Versions come, go and are rolled back while clients ask; the server never fails one of them."""

import asyncio
import functools
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export.lock import lock
from tests.chaos.load import LONG, PATIENCE_S, Client, Found, infer_request
from tests.service import zoo
from tests.service.servers import Server, server

pytestmark = pytest.mark.anyio

SWAPS = 50 if LONG else 5
CLIENTS = 4
POLL_S = 0.05
# 64 MB, more than what a worker holds besides, so that a copy stands out.
NUMBERS = 16 << 20
MODEL_BYTES = NUMBERS * 4
REQUEST = infer_request("m", [1])


def numbered(version: int, numbers: int = 2) -> onnx.ModelProto:
    """A model that answers its version, out of a table of so many numbers."""
    return zoo.graph_model(
        [
            helper.make_node("Cast", ["x"], ["row"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "row"], ["y"]),
        ],
        [zoo.info("x", ("batch", 1))],
        [zoo.info("y", ("batch", 1))],
        [zoo.constant("table", np.full(numbers, version))],
    )


def put(root: Path, version: int, content: bytes | None = None, model: str = "m") -> None:
    """Put a version into the repository, whole, in the place of one that is there."""
    folder = root / model / str(version)
    hidden = folder.with_name(f".{version}")
    hidden.mkdir(parents=True)
    (hidden / "model.onnx").write_bytes(content or numbered(version).SerializeToString())
    if folder.exists():
        (hidden / "model.onnx").replace(folder / "model.onnx")
        hidden.rmdir()
    else:
        hidden.rename(folder)


def remove(root: Path, version: int) -> None:
    (root / "m" / str(version)).rename(root / f".removed-{version}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    zoo.put(tmp_path, "brightness", 1, zoo.brightness_classifier())
    put(tmp_path, 1)
    return tmp_path


@dataclass
class Clients:
    """Ask one model for as long as the test goes on, and hold each answer against what may be.

    Args:
        port: of the server.
        oldest: version that a request which is sent now may be answered by.
        newest: likewise.
    """

    port: int
    oldest: int = 1
    newest: int = 1
    found: Found = field(default_factory=Found)
    wrong: list[tuple[float, range]] = field(default_factory=list)
    versions: set[float] = field(default_factory=set)
    stop: bool = False

    async def ask(self) -> None:
        client = Client(self.port, self.found)
        try:
            while not self.stop:
                oldest = self.oldest
                answer = await client.ask(REQUEST)
                if b" 200 " in answer[:15]:
                    self.check(json.loads(answer.partition(b"\r\n\r\n")[2]), oldest)
        finally:
            client.close()

    def check(self, answer: dict[str, Any], oldest: int) -> None:
        (value,) = answer["outputs"][0]["data"]
        may_be = range(oldest, self.newest + 1)
        self.versions.add(value)
        if value not in may_be or answer["model_version"] != f"{value:.0f}":
            self.wrong.append((value, may_be))

    def have_met(self, version: int) -> Callable[[], Awaitable[bool]]:
        async def met() -> bool:
            return version in self.versions

        return met

    def assert_unharmed(self) -> None:
        assert self.wrong == []
        assert self.found.lost == 0
        assert set(self.found.statuses) == {200}, self.found.first


@asynccontextmanager
async def asked(running: Server) -> AsyncIterator[Clients]:
    clients = Clients(running.port)
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(clients.ask())
        try:
            yield clients
        finally:
            clients.stop = True


async def get(running: Server, path: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        return await client.get(running.url + path)


async def load(running: Server, version: int | None = None) -> httpx.Response:
    """Command a load, of one version if it is named."""
    config = {"version_policy": {"specific": {"versions": [version]}}}
    parameters = {"parameters": {"config": json.dumps(config)}} if version else {}
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        path = "/v2/repository/models/m/load"
        return await client.post(running.control + path, json=parameters)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 -- it is another process's
            await asyncio.sleep(POLL_S / 5)


async def served_by_all(running: Server, *versions: int) -> None:
    """Wait until every worker serves these versions of the model, and no others."""

    async def are_served() -> bool:
        told = (await get(running, "/metrics")).text
        lines = [line for line in told.splitlines() if line.startswith("foldserve_model_ready{mod")]
        ready = [line.split('"')[3] for line in lines if '"m"' in line and line.endswith(" 1.0")]
        return sorted(map(int, ready)) == sorted(versions)

    await until(are_served)


async def failures(running: Server, version: int) -> float:
    told = (await get(running, "/metrics")).text
    name = f'foldserve_load_failures_total{{model="m",version="{version}"}} '
    return next((float(x[len(name) :]) for x in told.splitlines() if x.startswith(name)), 0)


async def reasons(running: Server) -> dict[str, str | None]:
    versions = (await get(running, "/models/m")).json()["versions"]
    return {each["version"]: each["reason"] for each in versions}


@pytest.mark.parametrize("by", ["poll", "control"])
async def test_swaps_under_load_fail_no_request_and_answer_by_the_old_or_the_new(
    root: Path, by: str, figure: Callable[..., None]
) -> None:
    way = {"REPOSITORY_POLL_S": POLL_S} if by == "poll" else {"CONTROL_PORT": 0}
    with server(root, WORKERS=2, VERSION_POLICY="latest:1", **way) as running:
        async with asked(running) as clients:
            await until(clients.have_met(1))
            for version in range(2, SWAPS + 2):
                clients.newest = version
                put(root, version)
                if by == "control":
                    assert (await load(running)).status_code == 200
                await served_by_all(running, version)
                clients.oldest = version
                await until(clients.have_met(version))
                remove(root, version - 1)
        clients.assert_unharmed()
        assert clients.versions == set(range(1, SWAPS + 2))
        assert running.stop() == 0
    requests = clients.found.requests
    figure(f"Hot reload by {by}", swaps=SWAPS, requests=requests, failed=0, wrong=0)


async def test_a_swap_takes_one_more_copy_of_the_model_and_gives_it_back(
    root: Path, figure: Callable[..., None]
) -> None:
    def anonymous_bytes() -> int:
        return sum(map(anonymous, running.workers))

    async def watch() -> None:
        for _ in itertools.count():
            most.append(max(most.pop(), anonymous_bytes()))
            await asyncio.sleep(0.002)

    large = (numbered(version, NUMBERS).SerializeToString() for version in itertools.count(1))
    with server(root, WORKERS=2, VERSION_POLICY="latest:1", REPOSITORY_POLL_S=POLL_S) as running:
        for version in (2, 3):  # a worker's first reload leaves a few MB behind, once
            put(root, version, next(large))
            await served_by_all(running, version)
        before = await settled(anonymous_bytes)
        most = [before]
        watching = asyncio.create_task(watch())
        for version in range(4, SWAPS + 4):
            put(root, version, next(large))
            await served_by_all(running, version)
        watching.cancel()
        after = await settled(anonymous_bytes)
    extra = (most[0] - before) / MODEL_BYTES
    # One copy, and its file while it is read: 2. Both workers at once take 3 and more.
    assert extra < 2.5
    assert (after - before) / MODEL_BYTES < 0.25
    figure("Hot reload: memory", swaps=SWAPS, more_copies_at_most=extra)


async def settled(measured: Callable[[], int]) -> int:
    """Wait until a number is the same for some looks; return it."""
    last: list[int] = []

    async def is_settled() -> bool:
        last.append(measured())
        return len(last) > 20 and len(set(last[-20:])) == 1  # 0.2 s: nothing is loaded, or freed

    await until(is_settled)
    return last[-1]


def anonymous(pid: int) -> int:
    """Return the memory that is the process's own, not its files' (``RssAnon``, proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


async def test_what_is_copied_slowly_or_broken_is_not_served_and_the_old_stays(
    root: Path, figure: Callable[..., None]
) -> None:
    path = root / "m" / "2" / "model.onnx"
    slowly = 10 * POLL_S  # so much longer than a pause of the copy, on a loaded machine too
    with server(root, WORKERS=2, VERSION_POLICY="latest:1", REPOSITORY_POLL_S=slowly) as running:
        async with asked(running) as clients:
            path.parent.mkdir()
            async with copied_for_ever(path):
                for model in ("a", "b"):  # each takes two looks at least
                    put(root, 1, model=model)
                    await until(functools.partial(is_ready, running, model))
                assert await failures(running, 2) == 0
                assert await reasons(running) == {"1": None}

            await until(lambda: has_failed(running, 2, times=2))  # once in each worker
            assert "no ONNX model" in str((await reasons(running))["2"])
            put(root, 3)  # takes several looks, in which the broken one would be tried again
            clients.newest = 3
            await served_by_all(running, 3)
            assert await failures(running, 2) == 2

            put(root, 3, b"garbage")
            await until(lambda: has_failed(running, 3, times=2))
            assert "a newer file is not served" in str((await reasons(running))["3"])
            clients.oldest = 3
            put(root, 4)
            clients.newest = 4
            await served_by_all(running, 4)
        clients.assert_unharmed()
    requests = clients.found.requests
    figure("Hot reload: half copied, broken", cases=3, requests=requests, failed=0, wrong=0)


@asynccontextmanager
async def copied_for_ever(path: Path) -> AsyncIterator[None]:
    """A file that grows for the time of the block."""

    async def grow() -> None:
        while True:
            with path.open("ab") as file:
                file.write(b"garbage")
            await asyncio.sleep(POLL_S / 10)

    copying = asyncio.create_task(grow())
    yield
    copying.cancel()


async def is_ready(running: Server, model: str) -> bool:
    return (await get(running, f"/v2/models/{model}/ready")).status_code == 200


async def test_a_version_whose_hash_comes_later_is_served_once_the_lock_has_it(root: Path) -> None:
    locked = {"REQUIRE_LOCK": "yes", "REPOSITORY_POLL_S": POLL_S}
    lock(root)
    with server(root, WORKERS=2, VERSION_POLICY="latest:1", **locked) as running:
        put(root, 2)
        await until(lambda: has_failed(running, 2, times=2))
        await served_by_all(running, 1)
        lock(root)
        await served_by_all(running, 2)


async def has_failed(running: Server, version: int, times: int) -> bool:
    return await failures(running, version) >= times


async def test_what_is_removed_drains_and_the_next_older_is_served(root: Path) -> None:
    put(root, 2)
    with server(root, WORKERS=2, VERSION_POLICY="latest:1", REPOSITORY_POLL_S=POLL_S) as running:
        async with asked(running) as clients:
            clients.newest = 2
            remove(root, 2)
            await served_by_all(running, 1)
        clients.assert_unharmed()
        remove(root, 1)
        await served_by_all(running)
        assert (await get(running, "/v2/models/m")).status_code == 404
        assert (await get(running, "/v2/health/ready")).status_code == 200
        put(root, 3)
        await served_by_all(running, 3)


async def test_a_swap_is_rolled_back_and_the_older_version_stays_whatever_comes(
    root: Path, figure: Callable[..., None]
) -> None:
    choices = {"CONTROL_PORT": 0, "REPOSITORY_POLL_S": POLL_S}
    with server(root, WORKERS=2, VERSION_POLICY="latest:1", **choices) as running:
        async with asked(running) as clients:
            for version in (2, 3, 4):
                put(root, version)
                clients.newest = version
                await served_by_all(running, version)
                assert (await load(running, version=1)).status_code == 200
                await served_by_all(running, 1)
                config = (await get(running, "/v2/models/m/config")).json()
                assert config["version_policy"] == {"specific": {"versions": [1]}}
                assert (await load(running)).status_code == 200
                await served_by_all(running, version)
        clients.assert_unharmed()
    requests = clients.found.requests
    figure("Hot reload: rollbacks", swaps=6, requests=requests, failed=0, wrong=0)


async def test_the_repository_is_still_polled_after_the_death_of_the_worker_that_did(
    root: Path,
) -> None:
    with server(root, WORKERS=2, VERSION_POLICY="latest:1", REPOSITORY_POLL_S=POLL_S) as running:
        for version in (2, 3):
            os.kill(min(running.workers), signal.SIGKILL)
            put(root, version)
            await served_by_all(running, version)


async def test_a_worker_that_is_replaced_serves_what_was_rolled_back_from_its_first_answer_on(
    root: Path,
) -> None:
    put(root, 2)
    with server(root, WORKERS=2, VERSION_POLICY="latest:1", CONTROL_PORT=0) as running:
        assert (await load(running, version=1)).status_code == 200
        assert (await load(running, version=7)).status_code == 500  # changes nothing
        async with asked(running) as clients:
            await until(lambda: have_answered(clients, 100))
            os.kill(min(running.workers), signal.SIGKILL)
            before = running.workers
            await until(lambda: are_others(running, before))
            count = clients.found.requests
            await until(lambda: have_answered(clients, count + 1000))
            await served_by_all(running, 1)
        assert clients.versions == {1}
        assert clients.wrong == []


async def have_answered(clients: Clients, count: int) -> bool:
    return clients.found.requests >= count


async def are_others(running: Server, before: list[int]) -> bool:
    return len(running.workers) == 2 and running.workers != before
