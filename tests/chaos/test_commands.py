"""Commands of the control port while workers die: what was answered holds in every worker."""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.chaos.load import HOST, LONG, PATIENCE_S, read_answer
from tests.chaos.workers import REQUEST, stop, successor
from tests.service import zoo
from tests.service.servers import Server, server

pytestmark = pytest.mark.anyio

ROUNDS = 20 if LONG else 8  # workers that are killed so often are held back for seconds
CLIENTS = 16  # of which each of two workers has some
ANSWER = {"load": 200, "unload": 503}


async def command(running: Server, verb: str) -> bool:
    """Give a command; return whether it was answered with success."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        try:
            answer = await client.post(f"{running.control}/v2/repository/models/m/{verb}")
        except httpx.TransportError:  # the worker that took it was killed
            return False
    return answer.status_code == 200


Asked = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


async def begin(running: Server) -> Asked:
    """Ask on connections of their own, some of which wait for a worker that is not there yet."""
    asked = [await asyncio.open_connection(HOST, running.port) for _ in range(CLIENTS)]
    for _, writer in asked:
        writer.write(REQUEST)
    return asked


async def statuses(asked: Asked) -> set[int]:
    async with asyncio.timeout(PATIENCE_S):
        found = {int((await read_answer(reader))[9:12]) for reader, _ in asked}
    for _, writer in asked:
        writer.transport.abort()
    return found


async def test_a_worker_that_is_being_started_heeds_what_is_commanded_meanwhile(
    root: Path,
) -> None:
    """What waits for it in its backlog is not answered as before the command."""
    zoo.put(root, "slow", 1, zoo.mill())  # so that it is not there before it is stopped
    with server(root, WORKERS=2, CONTROL_PORT=0) as running:
        stays, victim = running.workers
        os.kill(victim, signal.SIGKILL)
        comes = await successor(running, {stays, victim})
        await stop(running, comes)
        assert await command(running, "unload")
        asked = await begin(running)
        os.kill(comes, signal.SIGCONT)
        assert await statuses(asked) == {ANSWER["unload"]}
        assert set(running.workers) == {stays, comes}
        assert running.stop() == 0


async def test_what_was_commanded_holds_whatever_worker_is_killed(
    root: Path, figure: Callable[..., None]
) -> None:
    """A model comes and goes while workers are killed at random points of a command."""
    chance = random.Random(5)  # noqa: S311 -- no secret
    kills = requests = 0
    with server(root, WORKERS=2, CONTROL_PORT=0) as running:
        for turn in range(ROUNDS):
            verb = ("unload", "load")[turn % 2]
            victim = chance.choice(running.workers)
            given = asyncio.create_task(command(running, verb))
            await asyncio.sleep(chance.uniform(0, 0.02))  # about as long as a command takes
            os.kill(victim, signal.SIGKILL)
            kills += 1
            done = await given
            while not done:
                done = await command(running, verb)
            asked = await begin(running)
            assert await statuses(asked) == {ANSWER[verb]}
            requests += len(asked)
        assert running.stop() == 0
    figure("Crash: kill -9 during a command", kills=kills, requests=requests, wrong=0)
