"""An open loop: requests come when they come, whatever the server does.

Arrivals are a Poisson process. A request that finds every connection busy opens another, and one
that is sent late counts from the moment at which it was to be sent: a server that stalls is charged
for all that would have come meanwhile (no "coordinated omission").
"""

import gc
import select
import time
from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from httptools import HttpParserError

from benchmarks.serving.connection import Connection
from benchmarks.serving.load import Load

FEWEST_CONNECTIONS = 64  # that take turns, as so many clients would
MOST_CONNECTIONS = 256
PATIENCE_S = 10.0  # for answers, after the last request
MS = 1e3
Times = npt.NDArray[np.float64]


def arrivals(rate: float, seconds: float, seed: int) -> Times:
    """Moments of a Poisson process, in seconds from its beginning.

    Args:
        rate: Mean arrivals a second.
        seconds: How long it goes.
        seed: Of the random numbers.
    """
    random = np.random.default_rng(seed)
    count = random.poisson(rate * seconds)
    return np.sort(random.uniform(0, seconds, count))


def open_loop(port: int, requests: Sequence[bytes], due: Times) -> Load:
    """Load a server with requests at given moments.

    Args:
        port: On this machine.
        requests: Whole HTTP requests, sent in turns.
        due: When each is to be sent, in seconds from now, ascending.
    """
    generator = _Generator(port, requests)
    collecting = gc.isenabled()
    gc.disable()  # a pause of ours would be charged to the server
    try:
        seconds = generator.run(due)
    finally:
        generator.close()
        if collecting:
            gc.enable()
    return generator.load(len(due), seconds)


class _Generator:
    """Connections, what they wait for, and what was measured."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._port = port
        self._requests = requests
        self._events = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._idle: deque[Connection] = deque()
        self._waiting: deque[tuple[int, float]] = deque()
        self._latencies: list[float] = []
        self._lateness: list[float] = []
        self._on_their_way = 0
        self._start = 0.0
        for _ in range(FEWEST_CONNECTIONS):
            self._idle.append(self._connect())

    def run(self, due: Times) -> float:
        """Send everything and wait for the answers; seconds that it took."""
        moments = deque(enumerate(due.tolist()))
        self._start = time.monotonic()
        end = max([0.0, *due[-1:]]) + PATIENCE_S
        while (moments or self._waiting or self._on_their_way) and self._now() < end:
            while moments and moments[0][1] <= (now := self._now()):
                self._lateness.append(now - moments[0][1])
                self._waiting.append(moments.popleft())
            self._send_waiting()
            self._wait(moments[0][1] if moments else end)
        return self._now()

    def load(self, count: int, seconds: float) -> Load:
        """What was found of so many requests in so many seconds."""
        latencies = np.array(self._latencies) * MS if self._latencies else np.array([np.nan])
        return Load(
            requests=len(self._latencies),
            errors=count - len(self._latencies),
            seconds=seconds,
            p50_ms=float(np.percentile(latencies, 50)),
            p99_ms=float(np.percentile(latencies, 99)),
            late_p99_ms=float(np.percentile(self._lateness or [np.nan], 99)) * MS,
        )

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections.values():
            connection.close()
        self._events.close()

    def _now(self) -> float:
        return time.monotonic() - self._start

    def _connect(self) -> Connection:
        connection = Connection(self._port)
        self._connections[connection.fileno()] = connection
        self._events.register(connection.fileno(), select.EPOLLIN)
        return connection

    def _free(self) -> Connection | None:
        if self._idle:
            return self._idle.popleft()  # the one that rests the longest: they take turns
        if len(self._connections) < MOST_CONNECTIONS:
            return self._connect()
        return None

    def _send_waiting(self) -> None:
        while self._waiting and (connection := self._free()):
            index, due = self._waiting.popleft()
            self._on_their_way += 1
            try:
                connection.begin(self._requests[index % len(self._requests)], due)
            except OSError:
                self._drop(connection)
            else:
                if connection.unsent:
                    self._watch(connection)

    def _wait(self, until: float) -> None:
        # select() waits to the microsecond, epoll only to the millisecond.
        select.select([self._events], [], [], max(0.0, until - self._now()))
        for number, event in self._events.poll(0):
            connection = self._connections[number]
            try:
                if event & select.EPOLLOUT:
                    connection.send()
                    self._watch(connection)
                if event & ~select.EPOLLOUT:
                    connection.receive()
            except (OSError, HttpParserError):
                self._drop(connection)
            else:
                self._take(connection)

    def _watch(self, connection: Connection) -> None:
        wanted = select.EPOLLIN | (select.EPOLLOUT if connection.unsent else 0)
        self._events.modify(connection.fileno(), wanted)

    def _take(self, connection: Connection) -> None:
        """Note an answer that is complete."""
        if not connection.answered or connection.due is None:
            return
        if connection.right:
            self._latencies.append(self._now() - connection.due)
        self._on_their_way -= 1
        connection.due = None
        self._idle.append(connection)

    def _drop(self, connection: Connection) -> None:
        """Forget a broken connection; a request on its way is an error."""
        if connection.due is None:
            self._idle.remove(connection)
        else:
            self._on_their_way -= 1
        del self._connections[connection.fileno()]
        connection.close()
