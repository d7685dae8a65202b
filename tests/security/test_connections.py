"""Connections that are slow, idle, silent or too many, and good clients beside them.

The real server, asked over plain sockets. Who is slow on purpose is let go after the times that
the settings name, whatever he drips meanwhile; nobody else waits for it, and nothing is left.
"""

import asyncio
import json
import re
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.processes.bounded import LARGEST_HEAD, LONGEST_TARGET, MOST_HEADERS
from tests.chaos.load import (
    HOST,
    Client,
    Found,
    closed_loop,
    descriptors,
    get_request,
    infer_request,
    read_answer,
    resident_bytes,
)
from tests.security.slowness import LONGEST_S, Ended, Slow, connect, endure_all, is_ended
from tests.service import zoo
from tests.service.servers import PATIENCE_S, Server, server

pytestmark = pytest.mark.anyio

IDLE_S = BODY_S = 1.0
# The server's loop, and this one, on a machine that does much else meanwhile.
SLACK_S = 10.0
AT_ONCE = 6
MEBIBYTE = 2**20
MOST_GROWTH = 64 * MEBIBYTE
# As a client of ours waits at most for the answer of a run of microseconds, whoever is slow.
MOST_WAIT_S = 2.0

GOOD = infer_request("m", [3])
LIVE = get_request("/v2/health/live")


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


INFER = "/v2/models/m/infer"
LONG = "Content-Length: 100000"
CHUNKED = "Transfer-Encoding: chunked"
BODY = GOOD.partition(b"\r\n\r\n")[2]
WHOLE_CHUNK = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)

# Which is let go without a word: who has sent no whole head is told nothing.
SILENT = {
    "says nothing": Slow(b""),
    "drips a target": Slow(b"GET /v2", b"a"),
    "drips a header": Slow(b"GET /v2 HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"a"),
    "drips headers": Slow(b"GET /v2 HTTP/1.1\r\nHost: x\r\n", b"A: b\r\n"),
    "drips empty lines": Slow(b"\r\n", b"\r\n"),
    "goes away in half of a head": Slow(b"POST /v2/mod"),
}
# Which is answered, and then let go.
ANSWERED = {
    "says nothing more": (Slow(LIVE), [200]),
    "drips the next head": (Slow(LIVE + b"GET /v2", b"a"), [200]),
    "sends no body": (Slow(head(INFER, LONG)), [408]),
    "drips a body": (Slow(head(INFER, LONG), b" "), [408]),
    "drips the body of another protocol": (Slow(head("/v1/models/m:predict", LONG), b" "), [408]),
    "drips a picture": (Slow(head("/models/brightness/predict", LONG), b"a"), [408]),
    "drips chunks": (Slow(head(INFER, CHUNKED), b"1\r\n \r\n"), [408]),
    "drips a chunk's extension": (Slow(head(INFER, CHUNKED) + b"5;", b"a"), [408]),
    "drips trailers": (Slow(head(INFER, CHUNKED) + WHOLE_CHUNK, b"A: b\r\n"), [408]),
    "never continues": (Slow(head(INFER, LONG, "Expect: 100-continue")), [100, 408]),
    "drips a packed body": (Slow(head(INFER, LONG, "Content-Encoding: gzip"), b"\x1f"), [408]),
    "drips a body that nobody reads": (Slow(head("/v2", LONG, method="GET"), b"a"), [200]),
    "drips a body to nowhere": (Slow(head("/nothing", LONG), b"a"), [404]),
    "drips a body that is too large": (Slow(head(INFER, f"{LONG}000000"), b"a"), [413]),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    zoo.put(models, "m", 1, zoo.doubler())
    zoo.put(models, "brightness", 1, zoo.brightness_classifier())
    bounds = {"IDLE_TIMEOUT_S": IDLE_S, "BODY_TIMEOUT_S": BODY_S, "MAX_BODY_BYTES": MEBIBYTE}
    with server(models, ACCESS_LOG="none", **bounds) as process:
        yield process
        assert process.stop() == 0
        assert process.process.stderr is not None
        assert "Traceback" not in process.process.stderr.read()


class Left:
    """What a server holds more than before."""

    def __init__(self, running: Server) -> None:
        self._pid = running.process.pid
        self._files, self._bytes = descriptors(self._pid), resident_bytes(self._pid)

    async def files(self, are: Callable[[int], bool]) -> None:
        """Return once there are so many more files open than before."""
        async with asyncio.timeout(LONGEST_S):
            while not are(descriptors(self._pid) - self._files):  # noqa: ASYNC110 -- another's
                await asyncio.sleep(0.01)

    async def nothing(self) -> None:
        """Return once every connection is closed; the memory is what it was, but for a margin."""
        await self.files(lambda more: more <= 0)
        assert resident_bytes(self._pid) < self._bytes + MOST_GROWTH


def statuses(ended: Ended) -> list[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", ended.answer)]


def served(good: Found) -> None:
    """Nobody good was lost, refused or made to wait."""
    assert set(good.statuses) == {200}
    assert good.lost == 0
    assert good.slowest() < MOST_WAIT_S


async def test_who_is_slow_is_let_go_and_nobody_waits_for_it(
    running: Server, figure: Callable[..., None]
) -> None:
    left = Left(running)
    ways = [*SILENT.values(), *(slow for slow, _ in ANSWERED.values())]
    ended, good = await asyncio.gather(
        endure_all(running.port, ways, AT_ONCE),
        closed_loop(running.port, [GOOD, LIVE], clients=2, seconds=IDLE_S + BODY_S),
    )
    wanted = [*([] for _ in SILENT), *(told for _, told in ANSWERED.values())]
    for name, each, told in zip([*SILENT, *ANSWERED], ended, wanted, strict=True):
        for one in each:
            assert statuses(one) == told, (name, one.answer)
            # The time of the body, and behind its answer that of the next head.
            assert one.seconds < IDLE_S + BODY_S + SLACK_S, name
    served(good)
    await left.nothing()
    figure(
        "Slow on purpose, with good clients beside",
        slow=AT_ONCE * len(ways),
        requests=good.requests,
        lost=0,
    )


async def test_what_is_said_to_a_slow_body_names_the_time(running: Server) -> None:
    ((ended,),) = await endure_all(running.port, [ANSWERED["drips a body"][0]], 1)
    assert b'{"error":"the body was not there after 1 seconds"}' in ended.answer
    assert b"\r\nconnection: close\r\n" in ended.answer


async def test_slow_but_honest_is_answered(running: Server) -> None:
    """The times are of a head and of a body, and not of a connection."""
    left = Left(running)
    reader, writer = await connect(running.port)
    for _ in range(4):
        writer.write(GOOD[:30])
        await asyncio.sleep(0.2 * IDLE_S)
        writer.write(GOOD[30:-10])
        await asyncio.sleep(0.2 * BODY_S)
        writer.write(GOOD[-10:])
        assert (await read_answer(reader)).startswith(b"HTTP/1.1 200 ")
    writer.close()
    await left.nothing()  # the next test counts from here


def unread(port: int, asked: bytes) -> socket.socket:
    """A connection whose client never reads, with as little room as the system allows."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    connection.connect((HOST, port))
    connection.setblocking(False)
    with suppress(BlockingIOError):
        while asked:
            asked = asked[connection.send(asked) :]
    return connection


async def test_who_reads_nothing_is_let_go(running: Server, figure: Callable[..., None]) -> None:
    """What the system takes for them is a megabyte or two; more is asked for."""
    left = Left(running)
    big = get_request("/openapi.json") * 2000
    silent = [unread(running.port, big) for _ in range(8)]
    await left.files(lambda more: more >= len(silent))
    good = await closed_loop(running.port, [GOOD, LIVE], clients=2, seconds=1)
    served(good)
    await left.nothing()  # in the server; what the system has taken is the client's to fetch
    for each in silent:
        each.close()
    figure("Clients that read nothing", clients=len(silent), requests=good.requests, lost=0)


FLOODS = {
    "chunks of a byte": head(INFER, CHUNKED) + b"1\r\n \r\n" * 50_000 + WHOLE_CHUNK + b"\r\n",
    "chunks beyond a body": head(INFER, CHUNKED) + b"1\r\n \r\n" * (MEBIBYTE + 1000),
    "an endless extension": head(INFER, CHUNKED) + b"1;" + b"a" * MEBIBYTE,
    "an endless size": head(INFER, CHUNKED) + b"0" * MEBIBYTE + b"1",
    "an extension for each": head(INFER, CHUNKED) + b"1;a=bcdefgh\r\n \r\n" * 20_000,
    "endless trailers": head(INFER, CHUNKED) + WHOLE_CHUNK + b"A: b\r\n" * 100_000,
    "a trailer without end": head(INFER, CHUNKED) + WHOLE_CHUNK + b"A: " + b"b" * MEBIBYTE,
    "requests without answers read": LIVE * 5000,
    "empty lines": b"\r\n" * MEBIBYTE,
    "continues": head(INFER, LONG, "Expect: 100-continue") * 2000,
    "upgrades": head("/v2", "Connection: Upgrade", "Upgrade: h2c", method="GET") * 2000,
    "no HTTP at all": bytes(range(256)) * 4096,
}


async def flood(port: int, data: bytes) -> None:
    """Send it all, reading what comes meanwhile, and leave."""
    reader, writer = await connect(port)
    reading = asyncio.ensure_future(is_ended(reader))
    with suppress(ConnectionError):
        writer.write(data)
        await asyncio.wait_for(writer.drain(), LONGEST_S)
        writer.write_eof()
    assert await reading
    writer.transport.abort()


async def test_floods_are_harmless(running: Server, figure: Callable[..., None]) -> None:
    await asyncio.gather(*(flood(running.port, each) for each in FLOODS.values()))  # fill buffers
    left = Left(running)

    async def all_floods() -> None:
        for _ in range(2):
            for each in FLOODS.values():
                await flood(running.port, each)

    good, *_ = await asyncio.gather(
        closed_loop(running.port, [GOOD, LIVE], clients=2, seconds=3), all_floods(), all_floods()
    )
    served(good)
    await left.nothing()
    figure("Floods of chunks", floods=4 * len(FLOODS), requests=good.requests, lost=0)


def refused(answer: bytes, status: int, code: str) -> None:
    """The whole answer of what is no request of any endpoint."""
    told, _, body = answer.partition(b"\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in told
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert re.search(b"x-request-id: " + problem["request_id"].encode(), told)
    assert len(body) < 500


NO_REQUESTS = {
    "nothing of HTTP": (b"hello\r\n\r\n", 400, "malformed_request"),
    "another HTTP": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400, "malformed_request"),
    "a line within a header": (b"GET / HTTP/1.1\r\nHost: x\ry\r\n\r\n", 400, "malformed_request"),
    "two lengths": (
        head(INFER, "Content-Length: 5", "Content-Length: 6") + b"abcdef",
        400,
        "malformed_request",
    ),
    "a length that is none": (head(INFER, "Content-Length: -1"), 400, "malformed_request"),
    "a length and chunks": (
        head(INFER, "Content-Length: 5", CHUNKED) + b"0\r\n\r\n",
        400,
        "malformed_request",
    ),
    "two hosts": (head("/v2", "Host: y", method="GET"), 400, "malformed_request"),
    "a connection through us": (
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
        400,
        "malformed_request",
    ),
    "a chunk that is none": (head(INFER, CHUNKED) + b"xyz\r\n", 400, "malformed_request"),
    "a long target": (get_request("/" + "a" * LONGEST_TARGET), 414, "target_too_long"),
    "many headers": (head("/v2", *["A: b"] * MOST_HEADERS, method="GET"), 431, "head_too_large"),
    "a long header": (head("/v2", "A: " + "b" * LARGEST_HEAD, method="GET"), 431, "head_too_large"),
}


@pytest.mark.parametrize("name", NO_REQUESTS)
async def test_what_is_no_request_is_told_so_in_the_shape_of_every_error(
    running: Server, name: str
) -> None:
    data, status, code = NO_REQUESTS[name]
    reader, writer = await connect(running.port)
    writer.write(data)
    async with asyncio.timeout(PATIENCE_S):
        refused(await reader.read(), status, code)
    writer.transport.abort()


async def test_connections_are_bounded_and_those_that_are_there_are_served(
    tmp_path: Path, figure: Callable[..., None]
) -> None:
    zoo.put(tmp_path, "m", 1, zoo.doubler())
    most, more = 20, 200
    with server(tmp_path, MAX_CONNECTIONS=most, IDLE_TIMEOUT_S=IDLE_S, ACCESS_LOG="none") as few:
        found, left = Found(), Left(few)
        there = [Client(few.port, found) for _ in range(4)]
        for client in there:
            await client.ask(GOOD)
        idle = [await connect(few.port) for _ in range(most - len(there))]
        turned_away = [await connect(few.port) for _ in range(more)]
        for reader, _ in turned_away:
            async with asyncio.timeout(PATIENCE_S):
                refused(await reader.read(), 503, "too_many_connections")
        for client in there * 10:
            await client.ask(GOOD)
        assert found.statuses == {200: 44}
        assert all([await is_ended(reader) for reader, _ in idle])  # their time is over
        for client in there:
            client.close()
        await left.nothing()
        good = await closed_loop(few.port, [GOOD], clients=most, seconds=0.5)
        served(good)
        for _, writer in (*idle, *turned_away):
            writer.transport.abort()
        assert few.stop() == 0
    assert found.statuses == {200: found.requests}
    figure(
        "Connections beyond the bound",
        turned_away=more,
        requests=found.requests + good.requests,
        lost=0,
    )


async def test_without_a_file_to_open_those_that_are_there_are_served(tmp_path: Path) -> None:
    """The system's bound may be smaller than ours."""
    zoo.put(tmp_path, "m", 1, zoo.doubler())
    with server(tmp_path, IDLE_TIMEOUT_S=IDLE_S, ACCESS_LOG="none") as few:
        found = Found()
        client = Client(few.port, found)
        await client.ask(GOOD)
        before = resource.prlimit(few.process.pid, resource.RLIMIT_NOFILE)
        bound = descriptors(few.process.pid) + 10
        resource.prlimit(few.process.pid, resource.RLIMIT_NOFILE, (bound, before[1]))
        idle: list[Any] = [await connect(few.port) for _ in range(100)]
        for _ in range(100):
            await client.ask(GOOD)
        for _, writer in idle:
            writer.transport.abort()
        async with asyncio.timeout(LONGEST_S):
            while (await closed_loop(few.port, [GOOD], clients=2, seconds=0.1)).lost:
                pass  # it turns away who waits, as long as it has no file
        client.close()
        assert few.stop() == 0
    assert found.statuses == {200: found.requests}


def test_the_server_told_no_error_of_all_that(running: Server) -> None:
    assert httpx.get(running.url + "/v2/health/ready", timeout=PATIENCE_S).status_code == 200
    counted = httpx.get(running.url + "/metrics", timeout=PATIENCE_S).text
    assert not re.search(r'foldserve_requests_total\{.*status="5\d\d"\}', counted)
