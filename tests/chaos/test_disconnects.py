"""Ten thousand clients that go away leave nothing: no task, no queue entry, no descriptor."""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from service.api.exchange import Exchange
from service.app import create_app
from service.batching import waiting
from service.processes.connection import Connection
from service.rpc import calls
from service.rpc.address import reserved_port
from tests.chaos.asks import MILL, Ask
from tests.chaos.leaking import forget, leaking_app, leaking_server
from tests.chaos.leavers import PREFACE, Calling, Leavers, Visit
from tests.chaos.left_behind import heard, held, left_behind, settled
from tests.chaos.load import HOST, LONG, PATIENCE_S, infer_request
from tests.chaos.mixture import GOOD, put_models
from tests.chaos.soak import Soak
from tests.chaos.workers import metrics
from tests.service import zoo
from tests.service.apps import running as lifespan
from tests.service.apps import settings
from tests.service.servers import Server, server

pytestmark = pytest.mark.anyio

ROUTES = ["/v2/models/{name}/infer", "/v1/models/{name}:predict", "/models/{name}/predict"]
CLOSED = 'foldserve_requests_total{{route="{}",status="499"}}'

TIMES = 10_000 if LONG else 1_000
CLIENTS = 24
WARM = 200  # until every road has been gone once, and every thread has begun
MATES = 4 * TIMES // 10  # requests of clients that stay
FEW = 50  # of which each leaves something, in the twins
SOON_S = 1.0  # for what will never go

# Longer than most answers take, and than the queue in front of the slow model.
LONGEST_S = 0.05
AGAIN_S = 0.05  # before it is looked once more
SLOW = 1024  # numbers of a row of the slowest model
LARGE = 2**19  # numbers of an answer that no socket holds: two megabytes


OF_A_REQUEST = (Connection, RequestResponseCycle, Exchange, waiting.Call, calls.Call)
"""What lives as long as a connection, a request or a call."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}  # on which the service runs


@pytest.fixture
def root(root: Path) -> Path:
    put_models(root)
    zoo.put(root, "expander", 1, zoo.expander(LARGE))
    zoo.put(root, "slow", 1, zoo.mill(SLOW))  # some 20 ms a run, so that others wait
    return root


def leavers(port: int, address: str, seed: int) -> Leavers:
    """Clients of every road: in place, by the app, in threads, decoded, large, gRPC."""
    rng = np.random.default_rng(seed)
    asked = [kind(rng) for kind, _ in GOOD]
    requests = [each.request for each in asked if isinstance(each, Ask)]
    requests += [infer_request("expander", [1], binary=True)] * 2
    requests += [infer_request("slow", [SLOW], binary=True)] * 2
    visits = [Visit(port, each, LONGEST_S) for each in requests]
    visits.append(Visit(int(address.rpartition(":")[2]), PREFACE, LONGEST_S))
    inputs = {"m": (1, 3), "mill": (1, MILL), "slow": (1, SLOW), "expander": (1, 1)}
    called = [
        Calling(address, model, np.ones(shape, np.float32), LONGEST_S)
        for model, shape in inputs.items()
    ]
    return Leavers(visits, called, seed)


async def test_clients_that_go_at_any_point_leave_nothing_in_the_server(
    root: Path, figure: Callable[..., None]
) -> None:
    """Meanwhile others stay, on all roads, and every answer to them is right."""
    choices = {"WORKERS": 2, "GRPC_PORT": 0, "RUNNERS": 1, "MAX_BATCH_SIZE": 8}
    with server(root, **choices, LOG_LEVEL="error") as running:
        said = heard(running)
        gone = leavers(running.port, running.grpc, seed=1)
        mates = Soak(running.port, running.grpc, GOOD)
        await asyncio.gather(gone.leave(WARM, CLIENTS), mates.ask(WARM))
        before, workers = await settled(running, PATIENCE_S), running.workers
        gone.points.clear()
        async with waiting_rows(running) as waited:
            await asyncio.gather(gone.leave(TIMES, CLIENTS), mates.ask(MATES))
        assert await left_behind(running, before, PATIENCE_S) == []
        told = await metrics(running)
        given_up = [route for route in ROUTES if told.get(CLOSED.format(route))]
        assert running.workers == workers
        assert running.stop() == 0
    assert mates.heard.wrong == []
    assert mates.heard.found.lost == 0
    assert said == []
    assert given_up == ROUTES, "some went before their answer, on each road of HTTP"
    assert max(waited) > 0, "some of them from the queue"
    assert len(gone.points) == 7
    figure(
        "Cancellation: clients that go at random points leave nothing in the server",
        disconnects=gone.points.total(),
        **{point.replace(" ", "_"): count for point, count in sorted(gone.points.items())},
        descriptors=0,
        rows_that_wait=0,
        requests_beside=mates.heard.kinds.total(),
        lost=0,
        wrong=0,
    )


@asynccontextmanager
async def waiting_rows(running: Server) -> AsyncIterator[list[float]]:
    """Look again and again how many rows wait."""
    found: list[float] = []
    over = asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            found.append((await held(running)).waiting_rows)

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        try:
            yield found
        finally:
            over.set()


async def test_a_server_that_keeps_a_descriptor_of_each_client_is_found_out(
    root: Path,
) -> None:
    with leaking_server("descriptors", root, GRPC_PORT=0) as running:
        gone = leavers(running.port, running.grpc, seed=1)
        before = await settled(running, SOON_S)
        await gone.leave(FEW, CLIENTS)
        found = await left_behind(running, before, SOON_S)
    assert any("descriptors" in each for each in found)


@asynccontextmanager
async def in_this_loop(
    root: Path, make: Callable[..., FastAPI] = create_app
) -> AsyncIterator[tuple[int, str]]:
    """Serve in this process and loop, whose tasks can be counted; yield both addresses."""
    with reserved_port(HOST, 0, shared=False) as rpc_port:
        app = make(settings(root, grpc_port=rpc_port, max_batch_size=8))
    config = uvicorn.Config(app, log_config=None, proxy_headers=False, ws="none")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    async with lifespan(app):
        listening = await loop.create_server(lambda: Connection(config, state, {}), HOST, 0)
        async with listening:
            yield listening.sockets[0].getsockname()[1], f"{HOST}:{rpc_port}"


async def test_clients_that_go_at_any_point_leave_no_task_and_no_request(
    root: Path, figure: Callable[..., None]
) -> None:
    async with in_this_loop(root) as (port, address):
        gone = leavers(port, address, seed=2)
        await gone.leave(WARM, CLIENTS)
        before = await quiet(PATIENCE_S)
        gone.points.clear()
        await gone.leave(TIMES, CLIENTS)
        assert await more_than(before, PATIENCE_S) == Counter()
    figure(
        "Cancellation: clients that go at random points leave no task and no request",
        disconnects=gone.points.total(),
        tasks=0,
        requests=0,
    )


@pytest.mark.parametrize("kind", ["tasks", "requests"])
async def test_a_service_that_keeps_a_task_or_a_request_of_each_client_is_found_out(
    root: Path, kind: str
) -> None:
    def make(*args: Any, **kwargs: Any) -> FastAPI:
        return leaking_app(kind, *args, **kwargs)

    async with in_this_loop(root, make) as (port, address):
        gone = leavers(port, address, seed=2)
        before = await quiet(SOON_S)
        await gone.leave(FEW, CLIENTS)
        found = await more_than(before, SOON_S)
        forget()
    assert found["task" if kind == "tasks" else "RequestResponseCycle"] >= FEW / 5, (
        "some never sent a head"
    )


def alive() -> Counter[str]:
    """Return how many tasks there are in this loop, and things that live as long as a request."""
    gc.collect()
    names = (type(each).__name__ for each in gc.get_objects() if type(each) in OF_A_REQUEST)
    return Counter(names) + Counter(task=len(asyncio.all_tasks()))


async def quiet(patience_s: float) -> Counter[str]:
    """Return what is alive once it is the same twice."""
    before, now = Counter[str](), alive()
    async with asyncio.timeout(patience_s):
        while now != before:
            await asyncio.sleep(AGAIN_S)
            before, now = now, alive()
    return now


async def more_than(before: Counter[str], patience_s: float) -> Counter[str]:
    """Return what is alive more than before, once it was given so many seconds to end."""
    until = time.monotonic() + patience_s
    while (more := alive() - before) and time.monotonic() < until:  # noqa: ASYNC110 -- of others
        await asyncio.sleep(AGAIN_S)
    return more
