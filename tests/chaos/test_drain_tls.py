"""SIGTERM under load over TLS: what was accepted is answered, hands that are shaken included."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from tests.chaos.load import HOST, LONG, PATIENCE_S, read_answer
from tests.chaos.test_drain import BY_THE_APP, GRACE_S, Leavers, end_under_load
from tests.chaos.workers import DOUBLED, REQUEST
from tests.service.certificates import Files, client, files
from tests.service.servers import server

pytestmark = pytest.mark.anyio

ROUNDS = 30 if LONG else 2


@pytest.fixture
def given(tmp_path: Path) -> Files:
    return files(tmp_path)


@pytest.mark.parametrize("workers", [1, 2])
async def test_no_request_that_was_accepted_over_tls_is_lost_at_the_end(
    root: Path, given: Files, workers: int, figure: Callable[..., None]
) -> None:
    """Some of the clients keep their connections, the others shake hands for each request."""
    answered, slowest = 0, 0.0
    for _ in range(ROUNDS):
        with server(root, WORKERS=workers, **given.choices()) as running:
            groups = [
                Leavers(running.port, request, lasting, client(given.authority))
                for request in (REQUEST, BY_THE_APP)
                for lasting in (True, False)
            ]
            took_s = await end_under_load(running, groups)
        for group in groups:
            assert group.lost == []
            assert {*group.answers} == {200}
            assert DOUBLED in group.last
        answered += sum(group.answers[200] for group in groups)
        slowest = max(slowest, took_s)
    assert slowest < GRACE_S
    figure(
        "Drain: SIGTERM, over TLS",
        workers=workers,
        ends=ROUNDS,
        requests=answered,
        lost=0,
        slowest_end_s=slowest,
    )


@pytest.mark.parametrize("workers", [1, 2])
async def test_who_waits_in_the_backlog_shakes_hands_and_is_answered(
    root: Path, given: Files, workers: int
) -> None:
    """The processes are stopped while clients connect, and are told to end before they go on."""
    context = client(given.authority)

    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
        writer.write(REQUEST)
        answer = await read_answer(reader)
        writer.transport.abort()
        return answer

    with server(root, WORKERS=workers, **given.choices()) as running:
        serving = running.workers or [running.process.pid]
        for pid in serving:
            os.kill(pid, signal.SIGSTOP)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            asking = [group.create_task(ask(running.port)) for _ in range(16)]
            await asyncio.to_thread(until_connected, running.port, len(asking))
            running.process.terminate()
            for pid in serving:
                os.kill(pid, signal.SIGCONT)
        assert await asyncio.to_thread(running.process.wait, PATIENCE_S) == 0
    assert all(each.result().startswith(b"HTTP/1.1 200 ") for each in asking)


def until_connected(port: int, count: int) -> None:
    """Wait until the system has so many connections to a port (proc(5): ``net/tcp``)."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        clients = [line for line in lines if line.split()[2].endswith(f":{port:04X}")]
        if sum(line.split()[3] == "01" for line in clients) >= count:
            return
        assert time.monotonic() < ends


async def test_who_is_idle_or_shakes_no_hands_does_not_hold_up_the_end(
    root: Path, given: Files
) -> None:
    """Neither a client that pools its connections, nor one that never begins to speak."""
    context = client(given.authority)
    with server(root, WORKERS=2, **given.choices()) as running:
        idle = [await asyncio.open_connection(HOST, running.port, ssl=context) for _ in range(8)]
        silent = [await asyncio.open_connection(HOST, running.port) for _ in range(8)]
        for _, writer in idle:
            cast("asyncio.Transport", writer.transport).pause_reading()
        began = time.monotonic()
        assert await asyncio.to_thread(running.stop) == 0
        # What is waited for is a second, beside what an end takes without them; the grace time
        # is what it must not take.
        assert time.monotonic() - began < GRACE_S / 2
        for _, writer in (*idle, *silent):
            writer.transport.abort()
