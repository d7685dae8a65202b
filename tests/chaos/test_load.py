"""The clients of these tests count what they should: each of them is a test's only witness."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.load import (
    Found,
    closed_loop,
    descriptors,
    infer_request,
    open_loop,
    resident_bytes,
)

pytestmark = pytest.mark.anyio

GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CUT = GOOD[:-1]
REQUEST = infer_request("m", [2])


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[int]:
    """A server that gives these answers in turns; one that is cut or empty ends the connection."""
    turn = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turn
        while await reader.read(65536):
            answer, turn = answers[turn % len(answers)], turn + 1
            writer.write(answer)
            if answer in (b"", CUT):
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_closed_loop_counts_answers_by_status() -> None:
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with answering(GOOD, busy, chunked) as port:
        found = await closed_loop(port, [REQUEST], clients=2, seconds=0.2)
    assert found.lost == 0
    assert found.statuses[200] == len(found.good) > found.statuses[503] > 0
    assert found.first == {200: GOOD, 503: busy}
    assert found.requests == found.statuses.total()


async def test_an_answer_that_never_came_is_lost() -> None:
    async with answering(GOOD, b"", CUT) as port:
        found = await open_loop(port, [REQUEST], rate=100, seconds=0.06, connections=1)
    assert found.requests == 6
    assert found.lost > 0


async def test_a_refused_connection_is_lost() -> None:
    async with answering(GOOD) as port:
        pass
    found = await closed_loop(port, [REQUEST], clients=1, seconds=0.05)
    assert found.lost == found.requests > 0


async def test_an_open_loop_charges_what_was_sent_late() -> None:
    async with answering(GOOD) as port:
        found = await open_loop(port, [REQUEST], rate=1000, seconds=0.2, connections=4)
    assert found.statuses == {200: 200}
    assert 0 < found.slowest(0.5) <= found.slowest()


async def test_who_is_told_nothing_waits_as_long_as_there_is_patience() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n") as port:
        hung = await open_loop(port, [REQUEST], 100, 0.02, connections=2, patience_s=0.05)
    async with answering(CUT) as port:
        lost = await open_loop(port, [REQUEST], 100, 0.02, connections=2)
    assert (hung.lost, hung.hung) == (2, 2)
    assert (lost.lost, lost.hung) == (2, 0)


def test_goodput_is_good_answers_a_second() -> None:
    found = Found(seconds=2.0)
    for _ in range(4):
        found.count(GOOD, 0.01)
    assert found.goodput == 2
    assert len(found.when) == 4
    assert found.when == sorted(found.when)


def test_a_process_has_memory_and_descriptors() -> None:
    assert resident_bytes(os.getpid()) > 2**20
    before = descriptors(os.getpid())
    with Path(os.devnull).open():
        assert descriptors(os.getpid()) == before + 1
