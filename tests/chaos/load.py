"""Clients for the tests of what the service promises: they count every request, lost ones too.

Raw HTTP/1.1 on asyncio, one request under way on each connection. What a test sends is whole
bytes, so that it can also send what no client library would.
"""

import asyncio
import itertools
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

LONG = os.environ.get("CHAOS") == "long"
"""Whether the long form runs (``make chaos``); without it a test takes seconds."""

HOST = "127.0.0.1"
PATIENCE_S = 30.0  # for an answer that is on its way, on a loaded machine
MOST_ANSWER = 1 << 24  # bytes; more is no answer of these tests
AGAIN_S = 0.01  # before a connection that was refused is tried again


@dataclass
class Found:
    """What the clients of one load found.

    Args:
        statuses: how many answers had each status.
        good: seconds of each answer with status 200, from the moment at which it was due.
        lost: connections that ended, or were refused, without the answer to what was sent.
        first: the first whole answer of each status.
        seconds: how long the load took.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    good: list[float] = field(default_factory=list)
    lost: int = 0
    first: dict[int, bytes] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """All that were sent."""
        return self.statuses.total() + self.lost

    @property
    def goodput(self) -> float:
        """Answers with status 200 a second."""
        return len(self.good) / self.seconds

    def slowest(self, share: float = 0.99) -> float:
        """Seconds that this share of the good answers took at most; NaN without any."""
        return float(np.quantile(self.good, share)) if self.good else math.nan

    def count(self, answer: bytes, seconds: float) -> None:
        """Note one whole answer."""
        status = int(answer[9:12])
        self.statuses[status] += 1
        self.first.setdefault(status, answer)
        if status == 200:
            self.good.append(seconds)


def infer_request(
    model: str,
    row_shape: Sequence[int],
    rows: int = 1,
    *,
    binary: bool = False,
    headers: Sequence[str] = (),
    input_name: str = "x",
) -> bytes:
    """Return a whole request of the Open Inference Protocol for an FP32 input of ones.

    Args:
        model: its name, with ``/versions/N`` behind it if one is meant.
        row_shape: of one row, without the batch axis.
        rows: of the request.
        binary: whether the numbers go as bytes behind the JSON, and come back so.
        headers: more lines for the head.
        input_name: of the model's input.
    """
    shape = [rows, *row_shape]
    tensor: dict[str, object] = {"name": input_name, "shape": shape, "datatype": "FP32"}
    document: dict[str, object] = {"inputs": [tensor]}
    numbers = np.ones(shape, np.float32)
    lines = [f"POST /v2/models/{model}/infer HTTP/1.1", "Host: localhost", *headers]
    if not binary:
        tensor["data"] = numbers.ravel().tolist()
        body = json.dumps(document).encode()
        lines.append("Content-Type: application/json")
    else:
        tensor["parameters"] = {"binary_data_size": numbers.nbytes}
        document["parameters"] = {"binary_data_output": True}
        written = json.dumps(document).encode()
        body = written + numbers.tobytes()
        lines += [
            "Content-Type: application/octet-stream",
            f"Inference-Header-Content-Length: {len(written)}",
        ]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def get_request(path: str, headers: Sequence[str] = ()) -> bytes:
    """Return a whole request for a page."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


class Client:
    """One connection that lasts, with one request under way; it opens again where it ended.

    Args:
        port: on this machine.
        found: told each answer and each loss.
    """

    def __init__(self, port: int, found: Found) -> None:
        self._port = port
        self._found = found
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes, due: float | None = None) -> bytes:
        """Send a request and count what comes; return the answer, empty if it was lost.

        Args:
            request: whole.
            due: when it was to be sent, on ``time.monotonic``; now by default.
        """
        due = time.monotonic() if due is None else due
        try:
            reader, writer = await self._open()
            writer.write(request)
            async with asyncio.timeout(PATIENCE_S):
                answer = await read_answer(reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            self._found.lost += 1
            self.close()
            return b""
        self._found.count(answer, time.monotonic() - due)
        if ends_connection(answer):
            self.close()
        return answer

    def close(self) -> None:
        """Let go of the connection, without a word."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._reader.at_eof():
            self.close()  # the server ended it between two requests, as it may
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                HOST, self._port, limit=MOST_ANSWER
            )
        return self._reader, self._writer


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """Return one whole answer, its chunks as they came.

    Raises:
        asyncio.IncompleteReadError: the connection ended before.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    fields = head.lower()
    if b"\r\ntransfer-encoding: chunked" in fields:
        return head + await reader.readuntil(b"0\r\n\r\n")
    _, found, rest = fields.partition(b"\r\ncontent-length:")
    length = int(rest.partition(b"\r\n")[0]) if found else 0
    return head + await reader.readexactly(length)


def ends_connection(answer: bytes) -> bool:
    """Return whether the server said that it ends the connection after this answer."""
    return b"\r\nconnection: close" in answer.partition(b"\r\n\r\n")[0].lower()


async def closed_loop(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Found:
    """Load a server with clients that send again as soon as they have their answer.

    Args:
        port: on this machine.
        requests: sent in turns.
        clients: connections at once.
        seconds: how long; what is under way then is still waited for.
    """
    found = Found()
    turns = itertools.cycle(requests)
    began = time.monotonic()

    async def go_on() -> None:
        client = Client(port, found)
        while time.monotonic() < began + seconds:
            if not await client.ask(next(turns)):
                await asyncio.sleep(AGAIN_S)
        client.close()

    await _together(go_on, clients)
    found.seconds = time.monotonic() - began
    return found


async def open_loop(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, connections: int
) -> Found:
    """Load a server with requests that come when they come, whatever the server does.

    They are due at equal distances; one that is sent late, because every connection was busy,
    counts from the moment at which it was due (no "coordinated omission").

    Args:
        port: on this machine.
        requests: sent in turns.
        rate: requests a second.
        seconds: of the last one's moment.
        connections: that share the requests; enough of them that they are rarely all busy.
    """
    found = Found()
    turns = itertools.cycle(requests)
    began = time.monotonic()
    moments = iter(began + i / rate for i in range(round(rate * seconds)))

    async def go_on() -> None:
        client = Client(port, found)
        for due in moments:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await client.ask(next(turns), due)
        client.close()

    await _together(go_on, connections)
    found.seconds = time.monotonic() - began
    return found


async def _together(work: Callable[[], Coroutine[None, None, None]], times: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(times):
            group.create_task(work())


def resident_bytes(pid: int) -> int:
    """Return the memory of a process that is in RAM (``VmRSS``, proc(5))."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def descriptors(pid: int) -> int:
    """Return how many files and sockets a process holds open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
