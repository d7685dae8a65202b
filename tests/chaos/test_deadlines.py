"""Requests that are late, or whose client is gone, leave the queue at once and cost no run.

A run that never ends holds the model's one thread until ``run_timeout_s``: what comes meanwhile
waits. What is counted afterwards is the rows that were run.
"""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc  # type: ignore[import-untyped]  # it has no types
import numpy as np
import orjson
import pytest
from grpc import aio
from PIL import Image

from tests.chaos.asks import WIDE, document
from tests.chaos.load import HOST, Client, Found, read_answer
from tests.chaos.roads import ENDED, LATE, MODEL, ROADS, WITH_TIMEOUT, Asker, as_json, post, send
from tests.chaos.workers import connections, metrics, until
from tests.service import zoo
from tests.service.pictures import encoded, noise
from tests.service.servers import server

pytestmark = pytest.mark.anyio

HOLD_S = 3.0  # so long that everything which is to happen meanwhile does
SETTING_S = 0.4
PARAMETER_S = 0.3
PROBE_S = 0.05  # more than a run takes that need not wait
LONG_S = 60.0  # far beyond HOLD_S
SHORT_S = 0.8  # of a run that is waited for
FOREVER = 1e18  # turns of the model's loop


@asynccontextmanager
async def asking(root: Path, **choices: object) -> AsyncIterator[Asker]:
    """A server with one thread for its model, which is not tried before it is served."""
    zoo.put(root, MODEL, 1, zoo.counter())
    usual = {"RUNNERS": 1, "WARM_UP": False, "RUN_TIMEOUT_S": HOLD_S, "GRPC_PORT": 0}
    # A run that is ended is a line of the log.
    with server(root, **usual | {"LOG_LEVEL": "error"} | choices) as running:
        async with aio.insecure_channel(running.grpc) as channel:
            yield Asker(running, channel)
        assert await asyncio.to_thread(running.stop) == 0


@asynccontextmanager
async def held(asker: Asker) -> AsyncIterator[None]:
    """Keep the model's thread busy, from the beginning of the block for HOLD_S."""
    reader, writer = await asyncio.open_connection(HOST, asker.running.port)
    writer.write(as_json(FOREVER))
    await metrics(asker.running)  # behind it, so that no probe shares its run
    while await asker.ask("json", 1.0, PROBE_S) != LATE:
        pass  # it has not begun
    yield
    assert (await read_answer(reader)).startswith(b"HTTP/1.1 504 ")
    writer.transport.abort()


async def is_free(asker: Asker) -> None:
    """Wait until the thread is free; the one answer that tells is one run."""
    while await asker.ask("json", 1.0) == LATE:
        pass


async def timed(work: Awaitable[str]) -> tuple[str, float]:
    began = time.monotonic()
    return await work, time.monotonic() - began


async def test_the_setting_bounds_the_time_of_a_request_on_every_road(
    root: Path, figure: Callable[..., None]
) -> None:
    """A longer time of the request's own does not lengthen it."""
    async with asking(root, REQUEST_TIMEOUT_S=SETTING_S) as asker, held(asker):
        runs, rows = await asker.ran()
        late = await asyncio.gather(
            *(timed(asker.ask(road, 1.0)) for road in ROADS),
            *(timed(asker.ask(road, 1.0, LONG_S)) for road in WITH_TIMEOUT),
        )
        assert await asker.ran() == (runs, rows), "the thread is held still"
        await is_free(asker)
        assert await asker.ran() == (runs + 2, rows + 2), "the one that held it, and the last"
    assert {answer for answer, _ in late} == {LATE}
    assert all(seconds >= SETTING_S for _, seconds in late)
    note(figure, "request_timeout_s", late)


async def test_the_timeout_of_a_request_bounds_its_time_on_every_road_that_has_one(
    root: Path, figure: Callable[..., None]
) -> None:
    async with asking(root, REQUEST_TIMEOUT_S=LONG_S) as asker, held(asker):
        runs, rows = await asker.ran()
        late = await asyncio.gather(
            *(timed(asker.ask(road, 1.0, PARAMETER_S)) for road in WITH_TIMEOUT),
            timed(by_its_own_deadline(asker)),
        )
        await asker.waiting(0)
        assert await asker.ran() == (runs, rows), "the thread is held still"
        patient = await asyncio.gather(*(asker.ask(road, 1.0) for road in ROADS))
        assert patient == ["1.0"] * len(ROADS)
        assert (await asker.ran())[1] == rows + 1 + len(ROADS)
    assert {answer for answer, _ in late} == {LATE}
    assert all(seconds >= PARAMETER_S for _, seconds in late)
    note(figure, "the protocol's timeout", late)


async def by_its_own_deadline(asker: Asker) -> str:
    """Return how a call of gRPC ends whose deadline is its client's."""
    try:
        await asker.call(1.0, timeout=PARAMETER_S)
    except aio.AioRpcError as error:
        return LATE if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else str(error)
    return "in time"


def note(figure: Callable[..., None], what: str, late: list[tuple[str, float]]) -> None:
    latest = max(seconds for _, seconds in late)
    figure(f"Deadlines: {what}, on every road", late=len(late), latest_s=latest, runs_for_them=0)


async def test_a_timeout_counts_while_a_batch_fills_in_place(root: Path) -> None:
    async with asking(root, WARM_UP=True, MAX_QUEUE_DELAY_MS=10_000) as asker:
        assert await asker.ask("json", 1.0, PARAMETER_S) == LATE
        assert await asker.ran() == (0, 0)


async def test_a_run_that_took_all_the_time_of_its_requests_is_repeated_for_none_of_them(
    root: Path,
) -> None:
    """Mates of a run that was ended run again, each alone, only where they have time left."""
    choices = {"RUN_TIMEOUT_S": SHORT_S, "REQUEST_TIMEOUT_S": SHORT_S, "MAX_BATCH_SIZE": 4}
    async with asking(root, **choices, MAX_QUEUE_DELAY_MS=10_000) as asker:
        full = [FOREVER, 1.0, 1.0, 1.0]
        ends = await asyncio.gather(*(asker.ask("json", x) for x in full))
        assert set(ends) <= {LATE, ENDED}
        assert await asyncio.gather(*(asker.ask("json", 2.0) for _ in full)) == ["2.0"] * 4
        assert await asker.ran() == (2, 8)


@pytest.mark.parametrize("was_in_place", [False, True], ids=["threads", "in place before"])
async def test_clients_that_are_gone_leave_the_queue_and_their_mates_are_answered(
    root: Path, was_in_place: bool, figure: Callable[..., None]
) -> None:
    """A model that ran in place has threads from the run on that held up the loop."""
    async with asking(root, WARM_UP=was_in_place) as asker:
        if was_in_place:
            assert await asker.ask("json", FOREVER) == ENDED
        async with held(asker):
            runs, rows = await asker.ran()
            stay = [asyncio.create_task(asker.ask(road, 2.0)) for road in ROADS]
            await asker.waiting(len(stay))
            go = [asker.begin(road) for road in ROADS * 3]
            await asker.waiting(len(stay) + len(go))
            for leave in go:
                leave()
            await asker.waiting(len(stay))
            assert await asyncio.gather(*stay) == ["2.0"] * len(stay)
            assert await asker.ran() == (runs + 2, rows + 1 + len(stay))
    figure(
        "Cancellation: who leaves the queue costs no run, the mates are answered",
        left=len(go),
        runs_for_them=0,
        mates=len(stay),
        lost=0,
    )


async def test_clients_that_are_gone_before_their_batch_is_full_cost_no_run(root: Path) -> None:
    """In place, where a setting lets a batch fill."""
    async with asking(root, WARM_UP=True, MAX_QUEUE_DELAY_MS=1000 * HOLD_S) as asker:
        stay = [asyncio.create_task(asker.ask("json", 2.0)) for _ in range(2)]
        await asker.waiting(len(stay))
        go = [asker.begin(road) for road in ROADS]
        await asker.waiting(len(stay) + len(go))
        for leave in go:
            leave()
        await connected(asker, len(stay))
        assert await asyncio.gather(*stay) == ["2.0"] * len(stay)
        assert await asker.ran() == (1, len(stay))


async def test_clients_that_are_gone_before_their_body_is_decoded_cost_no_run(
    root: Path,
) -> None:
    """One thread decodes, and what it has before it takes seconds.

    It decodes pictures, unpacks what is packed, and reads long texts.
    """
    kept, times, found = 8, 2, Found()
    large = encoded(Image.new("RGB", (4000, 4000)), "PNG")  # few bytes, many pixels
    small = encoded(noise(128, 128), "JPEG")
    path = "/models/brightness/predict"
    form = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n%b\r\n--x--' % small
    multipart = post(path, form, "Content-Type: multipart/form-data; boundary=x")
    numbers = np.random.default_rng(0).integers(0, 2**20, (1, WIDE)).astype(np.float32)
    text = orjson.dumps(document(numbers))
    packed = post("/v2/models/wide/infer", gzip.compress(text), "Content-Encoding: gzip")
    bodies = [post(path, small), multipart, post("/v2/models/wide/infer", text), packed]
    zoo.put(root, "wide", 1, zoo.doubler(shape=("batch", WIDE)))
    async with asking(root, DECODE_THREADS=1) as asker:
        port = asker.running.port
        clients = [Client(port, found) for _ in range(kept)]
        stay = [asyncio.create_task(each.ask(post(path, large))) for each in clients]
        await connected(asker, kept)
        await metrics(asker.running)  # what was sent before is read
        go = [send(port, each) for each in bodies * times]
        await connected(asker, kept + len(go))
        await metrics(asker.running)
        for leave in go:
            leave()
        await connected(asker, kept)
        assert found.statuses.total() < kept, "the thread is at work still"
        await asyncio.gather(*stay)
        told = await metrics(asker.running)
        for client in clients:
            client.close()
    assert found.statuses == {200: kept}
    assert told['foldserve_batch_rows_sum{model="brightness",version="1"}'] == kept
    assert told['foldserve_batch_rows_sum{model="wide",version="1"}'] == 0


async def connected(asker: Asker, clients: int) -> None:
    """Wait until the server has so many connections, and all of them are clients' of a test."""

    async def are_connected() -> bool:
        return connections(asker.running.process.pid, asker.running.port) == clients

    await until(are_connected)
