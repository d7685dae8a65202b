"""The load: exact percentiles, whole answers, clients that send again."""

import asyncio
import json
import math
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tuning.load import answer_length, follow, load, percentile

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

HEAD = b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 3\r\nX: y\r\n\r\n"
GOOD = HEAD + b"abc"
BAD = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\nno"
REQUEST = b"GET /%d HTTP/1.1\r\n\r\n"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[int]:
    at_work: set[asyncio.Task[None]] = set()

    async def attended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at_work.add(asyncio.current_task())  # type: ignore[arg-type]  # in a task
        with suppress(ConnectionError):  # clients go in the middle of an answer
            await serve(reader, writer)
        writer.close()

    running = await asyncio.start_server(attended, "127.0.0.1", 0)
    async with running:
        yield running.sockets[0].getsockname()[1]
    await asyncio.gather(*at_work)


def answering(*parts: bytes) -> Serve:
    """Answers every request with the parts, each in a packet of its own as far as can be."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            await reader.readline()
            for part in parts:
                writer.write(part)
                await writer.drain()

    return serve


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99, 0.999])
)
def test_percentiles_are_exact(values: list[float], share: float) -> None:
    expected = np.percentile(values, share * 100, method="inverted_cdf")
    # numpy multiplies floats: at a boundary it may take the neighbour; a share of ours is exact.
    below = sum(value <= percentile(sorted(values), share) for value in values)
    assert below >= share * len(values) - 1e-6
    rank = share * len(values)
    if not math.isclose(rank, round(rank), abs_tol=1e-6):
        assert percentile(sorted(values), share) == expected


def test_percentiles_of_known_values() -> None:
    hundred = [float(n) for n in range(1, 101)]
    assert percentile(hundred, 0.5) == 50
    assert percentile(hundred, 0.99) == 99
    assert percentile([*hundred, 101.0], 0.99) == 100
    assert percentile([7.0], 0.99) == 7


@pytest.mark.parametrize("end", range(len(HEAD)))
def test_an_answer_without_its_whole_head_is_not_whole(end: int) -> None:
    assert answer_length(HEAD[:end]) == float("inf")


def test_an_answer_ends_where_its_head_says() -> None:
    assert answer_length(GOOD) == len(GOOD)
    assert answer_length(HEAD) == len(GOOD)
    last = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
    assert answer_length(last) == len(last) + 12
    none = b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"
    assert answer_length(none) == len(none)


@pytest.mark.parametrize("parts", [[GOOD], [HEAD, b"abc"], [GOOD[:20], GOOD[20:-1], GOOD[-1:]]])
async def test_clients_send_again_when_their_answer_is_whole(parts: list[bytes]) -> None:
    async with server(answering(*parts)) as port:
        tally = await load(port, [REQUEST % 0, REQUEST % 1], clients=3, seconds=0.2)
    assert tally.errors == 0
    assert tally.answers == {0: GOOD, 1: GOOD}
    assert len(tally.latencies) > 3
    assert all(0 < seconds < 0.3 for seconds in tally.latencies)


async def test_what_is_answered_in_the_warm_up_does_not_count() -> None:
    answered = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        while await reader.readline():
            await reader.readline()
            writer.write(GOOD)
            answered += 1

    async with server(serve) as port:
        tally = await load(port, [REQUEST % 0], clients=1, seconds=0.2)
    assert 0 < len(tally.latencies) < answered


async def test_an_answer_that_is_no_success_is_an_error_and_no_latency() -> None:
    async with server(answering(BAD)) as port:
        tally = await load(port, [REQUEST % 0], clients=1, seconds=0.1)
    assert tally.errors > 0
    assert tally.error == BAD
    assert len(tally.latencies) == 0
    assert tally.answers == {}


async def test_a_connection_that_the_server_closes_is_an_error() -> None:
    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readline()

    async with server(serve) as port:
        tally = await load(port, [REQUEST % 0], clients=2, seconds=0.1)
    assert tally.errors == 2


async def test_without_a_server_there_is_no_load() -> None:
    async with server(answering(GOOD)) as port:
        pass
    with pytest.raises(OSError, match="Connect call failed"):
        await load(port, [REQUEST % 0], clients=1, seconds=0.1)


def orders(port: int) -> dict[str, Any]:
    requests = [b64encode(REQUEST % 0).decode()]
    return {"port": port, "requests": requests, "clients": 2, "seconds": 0.2}


async def test_the_findings_are_json() -> None:
    async with server(answering(GOOD)) as port:
        found = await follow(orders(port))
    assert json.loads(json.dumps(found)) == found
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert found["alone_ms"] > 0
    assert found["throughput"] > 0
    assert found["errors"] == 0
    assert b64decode(found["answers"]["0"]) == GOOD


async def test_a_server_that_does_not_answer_in_time_has_no_latency() -> None:
    async with server(answering()) as port:
        found = await follow(orders(port))
    assert (found["p50_ms"], found["p99_ms"], found["alone_ms"]) == (None, None, None)
    assert found["throughput"] == 0
