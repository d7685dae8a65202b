"""Clients on asyncio that count every request, lost ones too.

Raw HTTP/1.1, one request under way on each connection. What is sent is whole bytes, so that it can
also be what no client library would send.
"""

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

import numpy as np

HOST = "127.0.0.1"
PATIENCE_S = 30.0  # for an answer that is on its way, on a loaded machine
MOST_ANSWER = 1 << 24  # bytes; more is no answer to what is asked here
AGAIN_S = 0.01  # before a connection that was refused is tried again


@dataclass
class Found:
    """What the clients of one load found.

    Args:
        statuses: how many answers had each status.
        good: seconds of each answer with status 200, from the moment at which it was due.
        when: the moment at which each of them came, on ``time.monotonic``.
        lost: requests without an answer: the connection ended, was refused, or said nothing.
        hung: those of them that were waited for as long as there was patience.
        first: the first whole answer of each status.
        began: when the load began, on ``time.monotonic``.
        seconds: how long the load took.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    good: list[float] = field(default_factory=list)
    when: list[float] = field(default_factory=list)
    lost: int = 0
    hung: int = 0
    first: dict[int, bytes] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
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
            self.when.append(time.monotonic())


def get_request(path: str, headers: Sequence[str] = ()) -> bytes:
    """Return a whole request for a page."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


class Client:
    """One connection that lasts, with one request under way; it opens again where it ended.

    Args:
        port: on this machine.
        found: told each answer and each loss.
        patience_s: how long an answer is waited for.
    """

    def __init__(self, port: int, found: Found, patience_s: float = PATIENCE_S) -> None:
        self._port = port
        self._found = found
        self._patience_s = patience_s
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
            async with asyncio.timeout(self._patience_s):
                reader, writer = await self._open()
                writer.write(request)
                answer = await read_answer(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self._found.lost += 1
            self._found.hung += isinstance(error, TimeoutError)
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


async def closed_loop(
    port: int,
    requests: Sequence[bytes],
    clients: int,
    seconds: float,
    patience_s: float = PATIENCE_S,
) -> Found:
    """Load a server with clients that send again as soon as they have their answer.

    Args:
        port: on this machine.
        requests: sent in turns.
        clients: connections at once.
        seconds: how long; what is under way then is still waited for.
        patience_s: how long an answer is waited for.
    """
    found = Found()
    turns = itertools.cycle(requests)
    began = found.began

    async def go_on() -> None:
        client = Client(port, found, patience_s)
        while time.monotonic() < began + seconds:
            if not await client.ask(next(turns)):
                await asyncio.sleep(AGAIN_S)
        client.close()

    await _together(go_on, clients)
    found.seconds = time.monotonic() - began
    return found


async def open_loop(
    port: int,
    requests: Sequence[bytes],
    rate: float,
    seconds: float,
    connections: int,
    patience_s: float = PATIENCE_S,
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
        patience_s: how long an answer is waited for.
    """
    found = Found()
    turns = itertools.cycle(requests)
    began = found.began
    moments = iter(began + i / rate for i in range(round(rate * seconds)))

    async def go_on() -> None:
        client = Client(port, found, patience_s)
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
