"""Workers that are killed under load: what they were at is lost, and nothing else."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.load import HOST, LONG, PATIENCE_S, ends_connection, read_answer
from tests.chaos.workers import (
    READY,
    REQUEST,
    asked,
    ended,
    fallen,
    kill,
    metrics,
    refuses,
    replaced,
    successor,
    until,
)
from tests.service.servers import server

pytestmark = pytest.mark.anyio

KILLS = 30 if LONG else 6
WORKERS = 3
CLIENTS = 8
PROBES = 2
# A worker that is killed a fifth time is held back for longer than anyone may wait for it (0.1 s,
# doubled four times): who waits in its backlog then is turned away, one connection of a client,
# unless the kernel gives it to another worker.
MIGRATES = Path("/proc/sys/net/ipv4/tcp_migrate_req")
IS_MIGRATING = MIGRATES.exists() and MIGRATES.read_text().strip() == "1"
HELD_BACK = 0 if IS_MIGRATING else max(0, KILLS - 4 * WORKERS)
ROUTE = 'foldserve_requests_total{route="/v2/models/{name}/infer",status="200"}'


async def test_killed_workers_lose_what_they_were_at_and_nothing_else(
    root: Path, figure: Callable[..., None]
) -> None:
    """Readiness and metrics are asked for all the time, each time on a connection anew."""
    at_work = 0
    backwards: list[str] = []
    with server(root, WORKERS=WORKERS) as running:
        before = await metrics(running)
        async with asked(running, [REQUEST] * CLIENTS + [READY] * PROBES) as found:
            for turn in range(KILLS):
                victim = sorted(running.workers)[turn % WORKERS]
                at_work += await kill(running, victim)
                await replaced(running, victim, WORKERS)
                now = await metrics(running)
                backwards += fallen(before, now)
                before = now
        counted = (await metrics(running))[ROUTE]
        assert running.stop() == 0
    assert all(set(each.statuses) == {200} for each in found), [each.first for each in found]
    lost = sum(each.lost for each in found)
    turned_away = HELD_BACK * (CLIENTS + PROBES)
    assert lost <= at_work + turned_away
    assert backwards == []
    good = sum(len(each.good) for each in found[:CLIENTS])
    # A worker may be killed before it sent an answer that it counted, or before it counted it;
    # each kill meets one such answer at most for each connection that the worker had.
    assert counted <= good + lost
    assert counted >= good - at_work
    figure("Crash: kill -9 of workers", kills=KILLS, requests=good, lost=lost, wrong=0)


async def test_the_clients_of_a_worker_that_is_held_back_go_to_the_others(
    root: Path, figure: Callable[..., None]
) -> None:
    """One worker is killed again and again, also before it serves, until it is held back.

    Who connects waits in the dead worker's backlog for its successor as long as that one is
    started soon; later the kernel gives every connection to the others.
    """
    kills, held_back_s = 6, 3.2  # 0.1 s before the first start anew, and twice that each time
    async with asyncio.timeout(PATIENCE_S):
        with server(root, WORKERS=2, LOG_LEVEL="error") as running:
            stays, victim = running.workers
            async with asked(running, [REQUEST] * 4 + [READY]) as found:
                for _ in range(kills):
                    os.kill(victim, signal.SIGKILL)
                    victim = await successor(running, {stays, victim})
            assert running.stop() == 0
    assert {status for each in found for status in each.statuses} == {200}
    lost = sum(each.lost for each in found)
    assert lost <= len(found) * kills
    slowest = max(max(each.good) for each in found)
    assert slowest < held_back_s, "nobody waited for the worker that was held back for so long"
    requests = sum(each.requests for each in found)
    figure("Crash: one worker again and again", kills=kills, requests=requests, lost=lost)


async def test_what_is_at_work_is_answered_though_the_process_above_is_killed(root: Path) -> None:
    """Workers that have nobody above them drain, and none of them stays."""
    head, _, body = REQUEST.partition(b"\r\n\r\n")
    with server(root, WORKERS=2) as running:
        workers = running.workers
        under_way = [await asyncio.open_connection(HOST, running.port) for _ in range(8)]
        for reader, writer in under_way:
            writer.write(head + b"\r\nExpect: 100-continue\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        running.process.kill()
        await until(lambda: refuses(running.port))
        for reader, writer in under_way:
            writer.write(body)
            answer = await read_answer(reader)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert ends_connection(answer)
            writer.close()
        await until(lambda: ended(workers))
