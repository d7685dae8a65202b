"""Clients that go away: while they connect, in the head, in the body, waiting, in the answer."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
from grpc import aio  # type: ignore[import-untyped]  # it has no types

from tests.chaos.load import HOST, PATIENCE_S
from tests.chaos.workers import infer

# A reset in place of an orderly end (socket(7)): what the server still sends finds nobody.
_RESET = struct.pack("ii", 1, 0)

# So small that a large answer stays in the server's hands.
_WINDOW = 4096

# Bytes of an answer that are read at most before the client goes.
_TASTE = 2**17

# HTTP/2 as gRPC begins it: the preface and an empty frame of settings (RFC 9113, 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

# Otherwise gRPC gives channels to one address the same connection.
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class Point(Enum):
    """When a client goes."""

    CONNECTING = "connecting"
    HEAD = "in the head"
    BODY = "in the body"
    WAITING = "while it waits"
    ANSWER = "in the answer"


class Visit(NamedTuple):
    """What a client asks before it goes.

    Args:
        port: on this machine.
        request: whole; nothing to a gRPC's port is but its preface.
        longest_s: that its answer takes about: it goes at any moment of that time.
    """

    port: int
    request: bytes
    longest_s: float


class Calling(NamedTuple):
    """A call of gRPC that is cancelled, or whose connection goes.

    Args:
        address: of the server.
        model: to infer with.
        x: its input.
        longest_s: that its answer takes about.
    """

    address: str
    model: str
    x: np.ndarray[Any, Any]
    longest_s: float


class Leavers:
    """Goes away again and again, at points that a seed chooses.

    Args:
        visits: of HTTP.
        calls: of gRPC.
        seed: of the points.
    """

    def __init__(self, visits: Sequence[Visit], calls: Sequence[Calling], seed: int) -> None:
        self._visits = visits
        self._calls = calls
        self._rng = np.random.default_rng(seed)
        self.points: Counter[str] = Counter()

    async def leave(self, times: int, clients: int) -> None:
        """Go away so many times in all, with so many clients at once."""
        left = iter(range(times))

        async def go_on() -> None:
            for _ in left:
                async with asyncio.timeout(PATIENCE_S):
                    await self._leave_once()

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(go_on())

    async def _leave_once(self) -> None:
        chosen = self._below(len(self._visits) + len(self._calls))
        if chosen < len(self._visits):
            await self._visit(self._visits[chosen])
        else:
            await self._call(self._calls[chosen - len(self._visits)])

    async def _visit(self, visit: Visit) -> None:
        point = list(Point)[self._below(len(Point))]
        self.points[point.value] += 1
        with contextlib.closing(socket.socket()) as connection:
            connection.setblocking(False)
            if point is Point.ANSWER:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW)
            if self._below(2):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            if point is Point.CONNECTING:
                connection.connect_ex((HOST, visit.port))
            else:
                await self._begin(connection, visit, point)

    async def _begin(self, connection: socket.socket, visit: Visit, point: Point) -> None:
        loop = asyncio.get_running_loop()
        head, whole = visit.request.find(b"\r\n\r\n") + 4, len(visit.request)
        until = {
            Point.HEAD: self._below(head),
            Point.BODY: head + self._below(max(1, whole - head)),
        }.get(point, whole)
        await loop.sock_connect(connection, (HOST, visit.port))
        await loop.sock_sendall(connection, visit.request[:until])
        if point is Point.WAITING:
            await self._wait(visit.longest_s)
        elif point is Point.ANSWER:
            await loop.sock_recv(connection, 1 + self._below(_TASTE))

    async def _call(self, calling: Calling) -> None:
        by_channel = self._below(4) == 0
        self.points["in a call, with its connection" if by_channel else "in a call"] += 1
        async with aio.insecure_channel(calling.address, options=_OWN_CONNECTION) as channel:
            if self._below(4):  # else it may go before it is connected
                await channel.channel_ready()
            call = infer(channel, calling.model, calling.x)
            await self._wait(calling.longest_s)
            if by_channel:
                await channel.close()
            else:
                call.cancel()
            await call.code()

    async def _wait(self, longest_s: float) -> None:
        # Half of them for an eighth of the time: most answers are quick.
        await asyncio.sleep(longest_s * self._rng.uniform() ** 3)

    def _below(self, bound: int) -> int:
        return int(self._rng.integers(bound))
