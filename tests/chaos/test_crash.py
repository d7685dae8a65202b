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
    stop,
    successor,
    until,
)
from tests.service.servers import Server, server

pytestmark = pytest.mark.anyio

KILLS = 30 if LONG else 6
WORKERS = 3
CLIENTS = 8
PROBES = 2
ROUTE = 'foldserve_requests_total{route="/v2/models/{name}/infer",status="200"}'


async def gone(running: Server, pid: int) -> bool:
    return pid not in running.workers


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
    assert lost <= at_work
    assert backwards == []
    good = sum(len(each.good) for each in found[:CLIENTS])
    # A worker may be killed before it sent an answer that it counted, or before it counted it;
    # each kill meets one such answer at most for each connection that the worker had.
    assert counted <= good + lost
    assert counted >= good - at_work
    figure(
        "Crash: kill -9 of workers",
        kills=KILLS,
        requests=good,
        at_work=at_work,
        lost=lost,
        wrong=0,
    )


async def test_the_clients_of_a_worker_that_is_held_back_go_to_the_others(
    root: Path, figure: Callable[..., None]
) -> None:
    """One worker is killed again and again, also before it serves."""
    kills, at_work = 6, 0
    held_back_s = 3.2  # 0.1 s before the first start anew, and twice that each time
    async with asyncio.timeout(PATIENCE_S):
        with server(root, WORKERS=2, LOG_LEVEL="error") as running:
            stays, victim = running.workers
            async with asked(running, [REQUEST] * 4 + [READY]) as found:
                for _ in range(kills):
                    at_work += await kill(running, victim)
                    victim = await successor(running, {stays, victim})
            assert running.stop() == 0
    assert {status for each in found for status in each.statuses} == {200}
    lost = sum(each.lost for each in found)
    assert lost <= at_work
    slowest = max(max(each.good) for each in found)
    assert slowest < held_back_s, "nobody waited for the worker that was held back for so long"
    requests = sum(each.requests for each in found)
    figure(
        "Crash: one worker again and again",
        kills=kills,
        requests=requests,
        at_work=at_work,
        lost=lost,
    )


@pytest.mark.parametrize("ends", [False, True], ids=["goes on", "ends"])
async def test_who_waits_for_a_dead_worker_is_answered_by_the_others(
    root: Path, ends: bool
) -> None:
    """Connections that no worker has accepted belong to nobody, and none of them is lost."""
    async with asyncio.timeout(PATIENCE_S):
        with server(root, WORKERS=2, LOG_LEVEL="error") as running:
            stays, victim = running.workers
            for _ in range(5):  # the sixth death is answered by a start 3.2 s later
                os.kill(victim, signal.SIGKILL)
                victim = await successor(running, {stays, victim})
            await replaced(running, 0, 2)
            await stop(running, victim)
            clients = [await asyncio.open_connection(HOST, running.port) for _ in range(64)]
            for _, writer in clients:
                writer.write(REQUEST)
            assert await stop(running, victim) == 0, "it has accepted none of them"
            os.kill(victim, signal.SIGKILL)
            await until(lambda: gone(running, victim))
            if ends:
                running.process.terminate()
            answers = [await read_answer(reader) for reader, _ in clients]
            assert running.workers in ([stays], []), "no successor has answered"
            for _, writer in clients:
                writer.close()
            assert running.stop() == 0
    assert {answer[:13] for answer in answers} == {b"HTTP/1.1 200 "}


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
