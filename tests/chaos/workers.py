"""What the tests of dying workers do to a server of several workers, and ask it."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from grpc import aio  # type: ignore[import-untyped]  # it has no types

from service.rpc.messages import SERVICE, protocol
from tests.chaos.load import HOST, PATIENCE_S, Client, Found, get_request, infer_request
from tests.service.rpc.clients import request
from tests.service.servers import Server

REQUEST = infer_request("m", [3])
"""To a ``zoo.doubler`` of this name."""

READY = get_request("/v2/health/ready", ["Connection: close"])

DOUBLED = b'"data":[2.0,2.0,2.0]'
_METRICS = get_request("/metrics", ["Connection: close"])

# What never goes backwards: Prometheus' counters, and the parts of its histograms.
_COUNTERS = ("_total", "_count", "_bucket", "_sum")
_OF_ONE_PROCESS = "process_"  # such as the processor's time: a successor's begins anew

Metrics = dict[str, float]


def read(answer: bytes) -> Metrics:
    text = answer.partition(b"\r\n\r\n")[2].decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


async def metrics(running: Server) -> Metrics:
    return read(await Client(running.port, Found()).ask(_METRICS))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 -- it is another process's
            await asyncio.sleep(0.02)


async def replaced(running: Server, killed: int, workers: int) -> None:
    """Wait until there are as many workers as before, each of them ready."""

    async def are_ready() -> bool:
        if killed in running.workers or len(running.workers) < workers:
            return False
        told = await metrics(running)
        return all(told.get(f'foldserve_worker_ready{{worker="{i}"}}') for i in range(workers))

    await until(are_ready)


def connections(pid: int, port: int) -> int:
    """Return how many clients a process talks to (proc(5): ``fd`` and ``net/tcp``)."""
    links = [link(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
    held = {re.sub(r"\D", "", each) for each in links if each.startswith("socket:")}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    served = [line for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01"]
    return sum(line[9] in held for line in served)


def link(descriptor: Path) -> str:
    """Return what a descriptor is of; nothing if it was closed since it was listed."""
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


def fallen(before: Metrics, now: Metrics) -> list[str]:
    """Return the counters that went backwards, or are gone."""
    counters = [name for name in before if name.partition("{")[0].endswith(_COUNTERS)]
    lasting = [name for name in counters if not name.startswith(_OF_ONE_PROCESS)]
    return [name for name in lasting if now.get(name, -1) < before[name]]


async def stop(running: Server, pid: int) -> int:
    """Stop a worker as if it hung; return how many clients it was talking to."""
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: stopped(pid))
    return connections(pid, running.port)


async def kill(running: Server, pid: int) -> int:
    """Kill a worker; return how many clients it was talking to.

    It is stopped before they are counted, so that it takes none in between.
    """
    talks_to = await stop(running, pid)
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


async def successor(running: Server, known: set[int]) -> int:
    """Wait for a worker that is none of those known; return its process."""

    async def is_there() -> bool:
        return bool({*running.workers} - known)

    await until(is_there)
    return ({*running.workers} - known).pop()


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


async def begin_upload(port: int) -> asyncio.StreamWriter:
    """Begin to send a request whose body the server waits for, and never go on."""
    head, _, body = REQUEST.partition(b"\r\n\r\n")
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(head + b"\r\nExpect: 100-continue\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    writer.write(body[:1])
    return writer


def infer(channel: aio.Channel, model: str, x: np.ndarray[Any, Any]) -> aio.UnaryUnaryCall:
    """Begin a call of gRPC."""
    messages = protocol().messages
    return channel.unary_unary(
        f"/{SERVICE}/ModelInfer",
        request_serializer=messages.ModelInferRequest.SerializeToString,
        response_deserializer=messages.ModelInferResponse.FromString,
    )(request(model, {"x": x}))
