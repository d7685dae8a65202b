"""The load: so many clients, each of which sends again as soon as it has its answer.

A process of its own (``python -m service.tuning.load``), which takes its orders as one JSON
document and gives its findings as another. It parses no more of an answer than where it ends,
and loads nothing heavy: the processors are the server's.
"""

import asyncio
import functools
import json
import sys
import time
from array import array
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from statistics import median
from typing import Any, cast

_HOST = "127.0.0.1"

# What goes before each measurement and is not counted: connections, caches, clock rates.
_WARM_UP = 1 / 3

# How long one client alone is measured, of the time of all.
_ALONE = 1 / 3

_GOOD = (b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")
_LENGTH = b"\r\ncontent-length:"


@dataclass
class Tally:
    """What the clients of one load find.

    Args:
        begins: when counting begins, in monotonic seconds.
        ends: when it ends.
        latencies: of the requests answered in that time, in seconds.
        answers: the last good one to each request, whole.
        errors: answers that were not good, and connections that were lost, at any time.
        error: the first answer that was not good.
    """

    begins: float
    ends: float
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    answers: dict[int, bytes] = field(default_factory=dict)
    errors: int = 0
    error: bytes = b""

    def answered(self, request: int, answer: bytes, seconds: float, now: float) -> None:
        """Count one answer."""
        if not answer.startswith(_GOOD):
            self.errors += 1
            self.error = self.error or answer
            return
        self.answers[request] = answer
        if self.begins <= now < self.ends:
            self.latencies.append(seconds)


class Client(asyncio.Protocol):
    """One connection with one request under way.

    Args:
        requests: sent in turns.
        first: which of them is the first.
        tally: told each answer.
    """

    def __init__(self, requests: Sequence[bytes], first: int, tally: Tally) -> None:
        self._requests = requests
        self._turn = first % len(requests)
        self._tally = tally
        self._unread = b""
        self._over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.WriteTransport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Send the next request once the answer is there."""
        answer = self._unread + data if self._unread else data
        if len(answer) < answer_length(answer):
            self._unread = answer
            return
        self._unread = b""
        now = time.perf_counter()
        self._tally.answered(self._turn, answer, now - self._since, now)
        self._turn = (self._turn + 1) % len(self._requests)
        self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        """Count an end that was not ours."""
        if not self._over:
            self._tally.errors += 1

    def end(self) -> None:
        """Let go of the connection."""
        self._over = True
        self._transport.abort()

    def _send(self) -> None:
        self._since = time.perf_counter()
        self._transport.write(self._requests[self._turn])


def answer_length(data: bytes) -> float:
    """Return the bytes of the answer that begins here; infinity while its head is not whole."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return float("inf")
    lower = data[:head].lower()
    at = lower.find(_LENGTH)
    if at < 0:
        return head + 4
    end = lower.find(b"\r\n", at + len(_LENGTH))
    return head + 4 + int(lower[at + len(_LENGTH) : head if end < 0 else end])


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of all does not exceed.

    Args:
        ordered: in ascending order, not empty.
        share: such as 0.99.
    """
    rank = -(-len(ordered) * round(share * 1000) // 1000)  # rounded up, in whole numbers
    return ordered[max(1, rank) - 1]


def _itself(client: Client) -> Client:
    """Return the protocol of a connection, which is made once for each."""
    return client


async def load(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Tally:
    """Load a server of this machine for a time, and a warm-up before it.

    Raises:
        OSError: it takes no connections.
    """
    loop = asyncio.get_running_loop()
    begins = time.perf_counter() + _WARM_UP * seconds
    tally = Tally(begins, begins + seconds)
    connected: list[Client] = []
    try:
        for first in range(clients):
            client = Client(requests, first, tally)
            await loop.create_connection(functools.partial(_itself, client), _HOST, port)
            connected.append(client)
        await asyncio.sleep(tally.ends - time.perf_counter())
    finally:
        for client in connected:
            client.end()
    return tally


async def follow(orders: dict[str, Any]) -> dict[str, Any]:
    """Measure one client alone, then all together; return the findings."""
    requests = [b64decode(each) for each in orders["requests"]]
    port, clients, seconds = orders["port"], orders["clients"], orders["seconds"]
    alone = await load(port, requests, 1, _ALONE * seconds)
    busy = time.process_time()
    tally = await load(port, requests, clients, seconds)
    busy = (time.process_time() - busy) / (seconds * (1 + _WARM_UP))
    ordered = sorted(tally.latencies)
    return {
        "throughput": len(ordered) / seconds,
        "p50_ms": percentile(ordered, 0.5) * 1e3 if ordered else None,
        "p99_ms": percentile(ordered, 0.99) * 1e3 if ordered else None,
        "alone_ms": median(alone.latencies) * 1e3 if alone.latencies else None,
        "errors": tally.errors + alone.errors,
        "error": b64encode(tally.error or alone.error).decode(),
        "answers": {str(i): b64encode(each).decode() for i, each in tally.answers.items()},
        "generator_busy": busy,
    }


def main() -> None:
    """Follow the orders on the standard input."""
    orders = json.load(sys.stdin)
    if find_spec("uvloop"):
        import uvloop  # noqa: PLC0415 -- not on Windows

        findings = uvloop.run(follow(orders))
    else:
        findings = asyncio.run(follow(orders))
    json.dump(findings, sys.stdout)


if __name__ == "__main__":
    main()
