"""Clients that ask for all kinds of things for a long time, and look at every answer."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from grpc import aio  # type: ignore[import-untyped]  # it has no types

from service.rpc.messages import SERVICE, protocol
from tests.chaos.asks import Ask, Call
from tests.chaos.leavers import Leavers
from tests.chaos.load import HOST, PATIENCE_S, Client, Found, read_answer
from tests.chaos.mixture import Kind

CLIENTS = 16
LEAVERS = 8  # of a hundred requests: whose clients go away before their answer
SLOW = 2  # of a hundred good ones: whose bytes come in pieces
_PIECES = 4
_PAUSE_S = 0.02  # between two pieces, at most


@dataclass
class Heard:
    """What the clients of a soak heard.

    Args:
        kinds: how many requests there were of each kind.
        found: the answers over HTTP, and those that never came.
        wrong: answers that should not be.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    found: Found = field(default_factory=Found)
    wrong: list[str] = field(default_factory=list)


class Soak:
    """Asks one server.

    Args:
        port: of HTTP, on this machine.
        address: of gRPC.
        kinds: what is asked, each with its share.
        leavers: clients that go away, if there are such.
        seed: of everything.
    """

    def __init__(
        self,
        port: int,
        address: str,
        kinds: Sequence[tuple[Kind, int]],
        leavers: Leavers | None = None,
        seed: int = 0,
    ) -> None:
        self.heard = Heard()
        self._port = port
        self._address = address
        self._leavers = leavers
        self._rng = np.random.default_rng(seed)
        self._kinds = [kind for kind, _ in kinds]
        self._bounds = np.cumsum([share for _, share in kinds])

    async def ask(self, requests: int) -> None:
        """Ask so often in all, and leave no connection."""
        left = iter(range(requests))
        async with aio.insecure_channel(self._address) as channel, asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._go_on(left, channel))

    async def _go_on(self, left: Iterator[int], channel: aio.Channel) -> None:
        client = Client(self._port, self.heard.found)
        for _ in left:
            if self._leavers is not None and self._rng.integers(100) < LEAVERS:
                self.heard.kinds["leavers"] += 1
                await self._leavers.leave(1, clients=1)
            else:
                await self._ask_once(client, channel)
        client.close()

    async def _ask_once(self, client: Client, channel: aio.Channel) -> None:
        drawn = self._rng.integers(self._bounds[-1])
        kind = self._kinds[int(np.searchsorted(self._bounds, drawn, side="right"))]
        self.heard.kinds[kind.__name__] += 1
        asked = kind(self._rng)
        if isinstance(asked, Call):
            wrong = await _called(channel, asked)
        elif asked.statuses == {200} and self._rng.integers(100) < SLOW:
            self.heard.kinds["slowly"] += 1
            wrong = _judged(asked, await self._slowly(asked.request))
        else:
            wrong = _judged(asked, await client.ask(asked.request))
        if wrong:
            self.heard.wrong.append(f"{kind.__name__}: {wrong}")

    async def _slowly(self, request: bytes) -> bytes:
        """Send a request in pieces, on a connection of its own."""
        reader, writer = await asyncio.open_connection(HOST, self._port)
        cuts = sorted(int(cut) for cut in self._rng.integers(len(request), size=_PIECES - 1))
        for start, end in zip((0, *cuts), (*cuts, len(request)), strict=True):
            writer.write(request[start:end])
            await asyncio.sleep(self._rng.uniform(0, _PAUSE_S))
        async with asyncio.timeout(PATIENCE_S):
            answer = await read_answer(reader)
        self.heard.found.count(answer, 0.0)
        writer.transport.abort()
        return answer


def _judged(asked: Ask, answer: bytes) -> str:
    """Return what is wrong with an answer; nothing if all is right, or if it is lost."""
    if not answer:
        return ""  # counted as such
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head[9:12])
    if status not in asked.statuses or (status == 200 and not asked.holds(body)):
        return f"{asked.request[:200]!r} was answered by {answer[:600]!r}"
    return ""


async def _called(channel: aio.Channel, call: Call) -> str:
    messages = protocol().messages
    method = channel.unary_unary(
        f"/{SERVICE}/ModelInfer",
        request_serializer=messages.ModelInferRequest.SerializeToString,
        response_deserializer=messages.ModelInferResponse.FromString,
    )
    try:
        answer = await method(call.message, timeout=PATIENCE_S)
    except aio.AioRpcError as error:
        return "" if error.code() is call.code else f"{call.message} ended with {error}"
    return "" if call.holds(answer) else f"{call.message} was answered by {answer}"
