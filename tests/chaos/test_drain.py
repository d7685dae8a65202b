"""SIGTERM under load: what was accepted is answered, and the end comes in time, with status 0."""

import asyncio
import os
import signal
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from grpc import aio  # type: ignore[import-untyped]  # it has no types

from tests.chaos.load import (
    HOST,
    LONG,
    PATIENCE_S,
    ends_connection,
    get_request,
    infer_request,
    read_answer,
)
from tests.chaos.workers import DOUBLED, REQUEST, begin_upload, infer, metrics, until
from tests.service import zoo
from tests.service.servers import Server, server

pytestmark = pytest.mark.anyio

ROUNDS = 30 if LONG else 3
READY = get_request("/v2/health/ready")
GRACE_S = 30  # the default
BY_THE_APP = REQUEST.replace(b"/infer ", b"/infer?by=the-app ", 1)
MILLED = np.ones((1, 1024), np.float32)


@dataclass
class Leavers:
    """Clients that ask until they are refused, and what they found.

    Args:
        port: on this machine.
        request: that each of them sends.
        lasting: whether a connection is used until the server ends it.
        secured: what TLS needs, where the server speaks it.
        answers: how many, by status.
        lost: requests on an open connection without a whole answer.
        last: the last answer.
    """

    port: int
    request: bytes
    lasting: bool
    secured: ssl.SSLContext | None = None
    answers: dict[int, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    last: bytes = b""

    async def ask(self) -> None:
        """Ask until nobody listens."""
        while True:
            try:
                reader, writer = await asyncio.open_connection(HOST, self.port, ssl=self.secured)
            except ConnectionRefusedError:
                return
            except OSError as error:  # hands were not shaken
                self.lost.append(repr(error))
                return
            await self._use(reader, writer)
            writer.transport.abort()

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            writer.write(self.request)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    answer = self.last = await read_answer(reader)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.lost.append(repr(error))
                return
            status = int(answer[9:12])
            self.answers[status] = self.answers.get(status, 0) + 1
            if not self.lasting or ends_connection(answer):
                return


@pytest.mark.parametrize("workers", [1, 3])
async def test_no_request_that_was_accepted_is_lost_at_the_end(
    root: Path, workers: int, figure: Callable[..., None]
) -> None:
    """Some of the clients keep their connections, the others open one for each request.

    Some requests are answered in place, and some by the app, which has them as tasks.
    """
    answered, slowest = 0, 0.0
    for _ in range(ROUNDS):
        with server(root, WORKERS=workers) as running:
            groups = [
                Leavers(running.port, request, lasting)
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
        "Drain: SIGTERM",
        workers=workers,
        ends=ROUNDS,
        requests=answered,
        lost=0,
        slowest_end_s=slowest,
    )


async def end_under_load(running: Server, groups: list[Leavers]) -> float:
    """Load a server, tell it to end, and return how many seconds it took to do so."""
    async with asyncio.TaskGroup() as clients:
        for group in groups * 6:
            clients.create_task(group.ask())
        await until(lambda: have(groups, 100))
        running.process.terminate()
        told = time.monotonic()
        assert await asyncio.to_thread(running.process.wait, PATIENCE_S) == 0
        return time.monotonic() - told


async def have(groups: list[Leavers], answers: int) -> bool:
    return all(group.answers.get(200, 0) >= answers for group in groups)


@pytest.mark.parametrize("workers", [1, 2])
async def test_what_waits_in_the_backlog_is_answered(root: Path, workers: int) -> None:
    """The processes are stopped while clients connect, and are told to end before they go on."""
    clients = 32
    with server(root, WORKERS=workers) as running:
        serving = running.workers or [running.process.pid]
        for pid in serving:
            os.kill(pid, signal.SIGSTOP)
        opened = [await asyncio.open_connection(HOST, running.port) for _ in range(clients)]
        for _, writer in opened:
            writer.write(REQUEST)
        running.process.terminate()
        for pid in serving:
            os.kill(pid, signal.SIGCONT)
        async with asyncio.timeout(PATIENCE_S):
            answers = [await read_answer(reader) for reader, _ in opened]
        for _, writer in opened:
            writer.transport.abort()
        assert await asyncio.to_thread(running.process.wait, PATIENCE_S) == 0
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)


@pytest.mark.parametrize("workers", [1, 2])
async def test_it_is_not_ready_at_once_and_answers_for_as_long_as_it_was_told(
    root: Path, workers: int, figure: Callable[..., None]
) -> None:
    """Each answer asks its client to connect anew, which then finds somebody else."""
    with server(root, WORKERS=workers, DRAIN_DELAY_S=600) as running:
        load = Leavers(running.port, REQUEST, lasting=True)
        async with asyncio.TaskGroup() as clients:
            for _ in range(8):
                clients.create_task(load.ask())
            await until(lambda: have([load], 100))
            running.process.terminate()
            told = time.monotonic()
            while (answer := await once(running.port, READY)).startswith(b"HTTP/1.1 200 "):
                pass
            not_ready_s = time.monotonic() - told
            assert answer.startswith(b"HTTP/1.1 503 ")
            # Of several workers another may be told a moment later; then none of them is ready.
            while not all([await is_refused(running.port) for _ in range(8)]):
                assert time.monotonic() < told + PATIENCE_S
            for _ in range(8):
                assert ends_connection(await once(running.port, REQUEST))
            running.process.terminate()  # a second time: it does not wait for the delay
        assert await asyncio.to_thread(running.process.wait, PATIENCE_S) == 0
    assert load.lost == []
    assert {*load.answers} == {200}
    figure(
        "Drain: not ready at once",
        workers=workers,
        requests=load.answers[200],
        not_ready_after_s=not_ready_s,
    )


async def once(port: int, request: bytes) -> bytes:
    """Return the answer to one request, on a connection of its own."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request)
    answer = await read_answer(reader)
    writer.transport.abort()
    return answer


async def is_refused(port: int) -> bool:
    return (await once(port, READY)).startswith(b"HTTP/1.1 503 ")


@pytest.fixture
def mill(tmp_path: Path) -> Path:
    """A repository with a model whose runs, of one request each, take their time."""
    zoo.put(tmp_path, "mill", 1, zoo.mill())
    return tmp_path


async def test_slow_runs_and_all_that_wait_for_theirs_are_finished(
    mill: Path, figure: Callable[..., None]
) -> None:
    """Over HTTP and gRPC, for as long as the grace time allows."""
    posts, calls = 20, 60  # of some 20 ms each, one after the other
    with server(mill, WORKERS=1, GRPC_PORT=0, MAX_BATCH_SIZE=1, RUNNERS=1) as running:
        async with aio.insecure_channel(running.grpc) as channel:
            called = [infer(channel, "mill", MILLED) for _ in range(calls)]
            post = infer_request("mill", [1024])
            posted = [asyncio.create_task(once(running.port, post)) for _ in range(posts)]
            await until(lambda: waits(running, (posts + calls) // 2))
            running.process.terminate()
            answers = await asyncio.gather(*posted)
            outputs = await asyncio.gather(*called)
        assert await asyncio.to_thread(running.process.wait, PATIENCE_S) == 0
    assert {answer[:13] for answer in answers} == {b"HTTP/1.1 200 "}
    assert {tuple(each.outputs[0].shape) for each in outputs} == {MILLED.shape}
    figure("Drain: slow runs, HTTP and gRPC", requests=posts + calls, lost=0)


async def waits(running: Server, rows: int) -> bool:
    """Whether so many rows wait, which are some of both protocols."""
    told = await metrics(running)
    return told['foldserve_waiting_rows{model="mill",version="1"}'] >= rows


async def test_who_does_not_send_what_was_begun_does_not_hold_up_the_end(root: Path) -> None:
    with server(root, WORKERS=2, GRACE_S=1, LOG_LEVEL="error") as running:
        writer = await begin_upload(running.port)
        assert await asyncio.to_thread(running.stop) == 0
        writer.transport.abort()
