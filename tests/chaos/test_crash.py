"""Workers that are killed under load: what they were at is lost, and nothing else."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.load import (
    HOST,
    LONG,
    PATIENCE_S,
    Client,
    Found,
    ends_connection,
    get_request,
    infer_request,
    read_answer,
)
from tests.service import zoo
from tests.service.servers import Server, server

pytestmark = pytest.mark.anyio

KILLS = 30 if LONG else 6
WORKERS = 3
CLIENTS = 8
REQUEST = infer_request("m", [3])
DOUBLED = b'"data":[2.0,2.0,2.0]'
READY = get_request("/v2/health/ready", ["Connection: close"])
METRICS = get_request("/metrics", ["Connection: close"])
ROUTE = 'foldserve_requests_total{route="/v2/models/{name}/infer",status="200"}'
# What never goes backwards: Prometheus' counters, and the parts of its histograms.
COUNTERS = ("_total", "_count", "_bucket", "_sum")
OF_ONE_PROCESS = "process_"  # such as the processor's time: a successor's begins anew

Metrics = dict[str, float]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    zoo.put(tmp_path, "brightness", 1, zoo.brightness_classifier())  # the greeting names it
    zoo.put(tmp_path, "m", 1, zoo.doubler())
    return tmp_path


def read(answer: bytes) -> Metrics:
    text = answer.partition(b"\r\n\r\n")[2].decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


async def metrics(running: Server) -> Metrics:
    return read(await Client(running.port, Found()).ask(METRICS))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 -- it is another process's
            await asyncio.sleep(0.02)


async def replaced(running: Server, killed: int, workers: int = WORKERS) -> None:
    """Wait until there are as many workers as before, each of them ready."""

    async def are_ready() -> bool:
        if killed in running.workers or len(running.workers) < workers:
            return False
        told = await metrics(running)
        return all(told.get(f'foldserve_worker_ready{{worker="{i}"}}') for i in range(workers))

    await until(are_ready)


def connections(pid: int, port: int) -> int:
    """Return how many clients a process talks to (proc(5): ``fd`` and ``net/tcp``)."""
    links = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    held = {re.sub(r"\D", "", link) for link in links if link.startswith("socket:")}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    served = [line for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01"]
    return sum(line[9] in held for line in served)


def fallen(before: Metrics, now: Metrics) -> list[str]:
    """Return the counters that went backwards, or are gone."""
    counters = [name for name in before if name.partition("{")[0].endswith(COUNTERS)]
    lasting = [name for name in counters if not name.startswith(OF_ONE_PROCESS)]
    return [name for name in lasting if now.get(name, -1) < before[name]]


async def kill(running: Server, pid: int) -> int:
    """Kill a worker; return how many clients it was talking to.

    It is stopped before they are counted, so that it takes none in between.
    """
    os.kill(pid, signal.SIGSTOP)

    await until(lambda: stopped(pid))
    talks_to = connections(pid, running.port)
    os.kill(pid, signal.SIGKILL)
    return talks_to


@asynccontextmanager
async def asked(running: Server, requests: Sequence[bytes]) -> AsyncIterator[list[Found]]:
    """Ask for the time of the block, one client for each request; yield what each found."""
    found = [Found() for _ in requests]
    over = asyncio.Event()

    async def ask(request: bytes, into: Found) -> None:
        client = Client(running.port, into)
        while not over.is_set():
            answer = await client.ask(request)
            assert request is not REQUEST or not answer or DOUBLED in answer
        client.close()

    async with asyncio.TaskGroup() as group:
        for request, into in zip(requests, found, strict=True):
            group.create_task(ask(request, into))
        try:
            yield found
        finally:
            over.set()


async def test_killed_workers_lose_what_they_were_at_and_nothing_else(
    root: Path, figure: Callable[..., None]
) -> None:
    """Readiness and metrics are asked for all the time, each time on a connection anew."""
    at_work = 0
    backwards: list[str] = []
    with server(root, WORKERS=WORKERS) as running:
        before = await metrics(running)
        async with asked(running, [REQUEST] * CLIENTS + [READY] * 2) as found:
            for turn in range(KILLS):
                victim = sorted(running.workers)[turn % WORKERS]
                at_work += await kill(running, victim)
                await replaced(running, victim)
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


async def successor(running: Server, known: set[int]) -> int:
    """Wait for a worker that is none of those known; return its process."""

    async def is_there() -> bool:
        return bool({*running.workers} - known)

    await until(is_there)
    return ({*running.workers} - known).pop()


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


async def refuses(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return True
    writer.transport.abort()
    return False


async def stopped(pid: int) -> bool:
    return state(pid) == "T"


def state(pid: int) -> str:
    """Return the letter of a process's state (``stat``, proc(5)); an ended one's is ``Z``."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.read_text().rpartition(")")[2].split()[0] if stat.exists() else "Z"


async def ended(pids: Sequence[int]) -> bool:
    """Whether each of them has ended; who has nobody above may stay as a zombie for a while."""
    return all(state(pid) == "Z" for pid in pids)
