"""A connection of the server, in this process: bytes in, bytes out."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import httptools
import pytest
import uvicorn
from uvicorn.server import ServerState

from service.api.express import ExpressLane
from service.app import create_app
from service.processes.bounded import LARGEST_HEAD
from service.processes.connection import Connection
from tests.service import zoo
from tests.service.apps import running, settings

# Enough for a loaded machine; a test that needs it has failed.
PATIENCE_S = 10

pytestmark = pytest.mark.anyio

URL = "/v2/models/doubler/infer"
JSON = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}'
DOUBLED = b'"data":[2.0,4.0,6.0]'


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}  # whose transports are stricter, and what is served


class Client:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answers(self, *bodies: bytes) -> bytes:
        """Return everything up to the end of these, one after the other."""
        async with asyncio.timeout(PATIENCE_S):
            return b"".join([await self.reader.readuntil(body) for body in bodies])

    async def rest(self) -> bytes:
        """Return everything up to the end of the connection, or what a reset left of it."""
        found = b""
        with suppress(ConnectionResetError):
            async with asyncio.timeout(PATIENCE_S):
                while piece := await self.reader.read(2**16):
                    found += piece
        return found


class Watched(Connection):
    """A connection that tells what happens to it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.received = asyncio.Event()
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.received.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()


class Served:
    """A server of connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        self.config = config
        self.state = ServerState()
        self.made: asyncio.Queue[Watched] = asyncio.Queue()
        self.clients: list[Client] = []
        self.address: tuple[str, int] = ("", 0)

    def make(self) -> Connection:
        connection = Watched(self.config, self.state, {})
        self.made.put_nowait(connection)
        return connection

    async def arrived(self) -> None:
        """Return once a connection has had something to read."""
        async with asyncio.timeout(PATIENCE_S):
            await (await self.made.get()).received.wait()

    async def lost(self) -> Connection:
        """Return a connection once it is no more."""
        async with asyncio.timeout(PATIENCE_S):
            connection = await self.made.get()
            await connection.lost.wait()
        return connection

    async def connect(self, *sent: bytes) -> Client:
        client = Client(*await asyncio.open_connection(*self.address))
        self.clients.append(client)
        for piece in sent:
            client.writer.write(piece)
        return client


@asynccontextmanager
async def served(models: Path, **choices: Any) -> AsyncIterator[Served]:
    app = create_app(settings(models, **choices))
    config = uvicorn.Config(
        app,
        log_config=None,
        proxy_headers=False,
        ws="none",
    )
    config.load()
    async with running(app):
        serving = Served(config)
        loop = asyncio.get_running_loop()
        async with await loop.create_server(serving.make, "127.0.0.1", 0) as server:
            serving.address = server.sockets[0].getsockname()
            try:
                yield serving
            finally:  # a server ends behind its last connection
                for client in serving.clients:
                    client.writer.close()


def post(*headers: str, url: str = URL, body: bytes = JSON) -> bytes:
    lines = [f"POST {url} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*trailers: bytes) -> bytes:
    head = f"POST {URL} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"%x\r\n%b\r\n0\r\n%b" % (len(JSON), JSON, b"".join(trailers))


@pytest.mark.parametrize("cut", [1, 60, 170, 220, 1000])
async def test_an_offered_upgrade_costs_no_body(models: Path, cut: int) -> None:
    # What Java's client sends first of all, with the promise that it is as well without.
    whole = post("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAE")
    whole += b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    async with served(models) as serving:
        client = await serving.connect(whole[:cut])
        await serving.arrived()
        client.writer.write(whole[cut:])
        answers = await client.answers(DOUBLED, b'{"live":true}')
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize("tokens", ["close, Upgrade", "Upgrade, close"])
async def test_an_upgrade_offered_with_the_last_request_is_answered(
    models: Path, tokens: str
) -> None:
    async with served(models) as serving:
        client = await serving.connect(post(f"Connection: {tokens}", "Upgrade: websocket"))
        answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert DOUBLED in answer
    assert b"connection: close" in answer


async def test_many_offered_upgrades_behind_one_another_are_overlooked(models: Path) -> None:
    one = b"GET /v2/health/live HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    async with served(models) as serving:
        client = await serving.connect(one * 2000)
        answers = await client.answers(*[b'{"live":true}'] * 2000)
    assert answers.count(b"HTTP/1.1 200 OK") == 2000


@pytest.mark.parametrize("url", ["http://x", "http://a:b:c/", "http://"])
async def test_a_target_that_cannot_be_read_is_refused_before_the_body_is_there(
    models: Path, url: str
) -> None:
    async with served(models) as serving:
        client = await serving.connect(post(url=url)[:-5])
        assert (await client.rest()).startswith(b"HTTP/1.1 400 ")


async def test_what_may_be_held_for_the_lane_has_a_target_that_can_be_read() -> None:
    for middle in range(256):
        lane_url = b"/v2/models/" + bytes([middle]) + b":@?#[/infer"
        requests: list[bytes] = []
        parser = httptools.HttpRequestParser(Targets(requests))
        try:
            parser.feed_data(b"POST " + lane_url + b" HTTP/1.1\r\n\r\n")
        except httptools.HttpParserError:
            continue  # refused before it is looked at
        for url in requests:
            assert httptools.parse_url(url).path.isascii()


class Targets:
    """Takes the targets of requests."""

    def __init__(self, found: list[bytes]) -> None:
        self.found = found

    def on_url(self, url: bytes) -> None:
        self.found.append(url)


async def test_trailers_are_no_headers(models: Path) -> None:
    trailers = b"Inference-Header-Content-Length: 5\r\n", b"X-Request-ID: trailed\r\n", b"\r\n"
    async with served(models) as serving:
        client = await serving.connect(chunked(*trailers))
        answer = await client.answers(DOUBLED)
    assert b"200 OK" in answer
    assert b"trailed" not in answer


@pytest.mark.parametrize("endless", [b"A: b\r\n", b"a"])
async def test_trailers_without_end_are_refused(models: Path, endless: bytes) -> None:
    async with served(models) as serving:
        client = await serving.connect(chunked(b"A: ", endless * (2**20 // len(endless))))
        assert DOUBLED not in await client.rest()


async def test_a_chunk_that_never_begins_is_refused(models: Path) -> None:
    head, _, _ = chunked().partition(b"\r\n\r\n")
    async with served(models) as serving:
        client = await serving.connect(head, b"\r\n\r\n5;" + b"a" * 2**20)
        assert DOUBLED not in await client.rest()


async def test_a_long_body_in_many_small_chunks_is_no_large_head(models: Path) -> None:
    head, _, _ = chunked().partition(b"\r\n\r\n")
    chunks = b"1\r\n \r\n" * LARGEST_HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(JSON), JSON)
    async with served(models) as serving:
        client = await serving.connect(head, b"\r\n\r\n", chunks)
        assert b"200 OK" in await client.answers(DOUBLED)


@pytest.mark.parametrize("url", [URL, f"{URL}?by=the-app"])
@pytest.mark.parametrize("before", [b"", post()])
async def test_a_request_that_is_under_way_at_the_end_is_answered(
    models: Path, url: str, before: bytes
) -> None:
    async with served(models) as serving:
        client = await serving.connect(before)
        if before:
            await client.answers(DOUBLED + b"}]}")
        connection = await serving.made.get()
        connection.shutdown()
        client.writer.write(post(url=url))
        answer = await client.rest()
    assert DOUBLED in answer
    assert b"\r\nconnection: close\r\n" in answer


async def test_a_connection_without_a_request_is_closed_at_the_end(models: Path) -> None:
    async with served(models) as serving:
        client = await serving.connect()
        (await serving.made.get()).shutdown()
        assert await client.rest() == b""


@pytest.mark.parametrize("sent", [b"", b"POST /v2", post()[:40]])
async def test_a_head_that_does_not_come_is_not_waited_for(models: Path, sent: bytes) -> None:
    async with served(models, idle_timeout_s=0.01) as serving:
        client = await serving.connect(sent)
        assert await client.rest() == b""


async def test_a_connection_that_was_reset_leaves_nothing_behind(models: Path) -> None:
    async with served(models) as serving:
        client = await serving.connect(post())
        await client.answers(DOUBLED)
        # Closed without the usual farewell, as load balancers do after a look.
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.writer.transport.abort()
        connection = await serving.lost()
        assert connection.timeout_keep_alive_task is None


async def test_a_connection_that_is_closed_meanwhile_spares_its_batch_mates(models: Path) -> None:
    # The other request waits behind the first one, and is never begun.
    async with served(models, max_queue_delay_ms=200) as serving:
        closed = await serving.connect(post() * 2)
        await serving.arrived()
        closed.writer.transport.abort()
        mate = await serving.connect(post())
        assert b"200 OK" in await mate.answers(DOUBLED)


async def test_a_client_that_goes_while_it_waits_is_in_flight_no_more(models: Path) -> None:
    async with served(models, max_queue_delay_ms=5000) as serving:
        lane: ExpressLane = serving.config.loaded_app.state.express_lane
        client = await serving.connect(post())
        connection = await serving.made.get()
        async with asyncio.timeout(PATIENCE_S):
            await connection.received.wait()
            before = lane.in_flight.count
            client.writer.transport.abort()
            await connection.lost.wait()
        assert (before, lane.in_flight.count) == (1, 0)


@pytest.mark.parametrize("url", [URL, f"{URL}?by=the-app"])
async def test_what_cannot_be_read_takes_no_answer_from_what_came_before(
    models: Path, url: str
) -> None:
    async with served(models, max_queue_delay_ms=20) as serving:
        client = await serving.connect(post(url=url) * 2 + b"nothing\r\n\r\n")
        answers = (await client.rest()).split(b"HTTP/1.1 ")
    assert [answer[:3] for answer in answers[1:]] == [b"200", b"200", b"400"]
    assert all(DOUBLED in answer for answer in answers[1:3])


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_a_body_that_cannot_be_read_is_answered_behind_what_came_before(
    models: Path, before: int
) -> None:
    head, _, _ = chunked().partition(b"\r\n\r\n")
    async with served(models, max_queue_delay_ms=20) as serving:
        client = await serving.connect(post() * before + head + b"\r\n\r\n1\r\n{\r\nnone\r\n")
        answers = (await client.rest()).split(b"HTTP/1.1 ")
    assert [answer[:3] for answer in answers[1:]] == [b"200"] * before + [b"400"]
    assert b"malformed_request" in answers[-1]


async def test_a_body_that_turns_bad_later_ends_the_request_it_belongs_to(models: Path) -> None:
    head, _, _ = chunked().partition(b"\r\n\r\n")
    async with served(models) as serving:
        client = await serving.connect(head + b"\r\n\r\n1\r\n{\r\n")
        await serving.arrived()
        client.writer.write(b"none\r\n")
        answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_client_that_takes_no_answers_is_let_go(models: Path) -> None:
    async with served(models, idle_timeout_s=0.2) as serving:
        client = await serving.connect()
        cast("asyncio.Transport", client.writer.transport).pause_reading()
        # More than the system's buffers of both ends hold.
        client.writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        await serving.lost()


async def test_requests_of_different_numbers_of_rows_have_one_answer(tmp_path: Path) -> None:
    zoo.put(tmp_path, "two", 1, zoo.two_in_two_out())
    a = b'{"name":"a","shape":[1,2],"datatype":"FP32","data":[1,2]}'
    b = b'{"name":"b","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}'
    one = post(url="/v2/models/two/infer", body=b'{"inputs":[%b,%b]}' % (a, b))
    async with served(tmp_path) as serving:
        client = await serving.connect(one + b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        answers = await client.answers(b"[1, 2]", b'{"live":true}')
    assert answers.count(b"HTTP/1.1 ") == 2


async def test_a_body_of_two_transfer_encodings_is_refused(models: Path) -> None:
    twice = chunked(b"\r\n").replace(b"Host: x", b"Host: x\r\nTransfer-Encoding: identity")
    async with served(models) as serving:
        client = await serving.connect(twice)
        answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 4") == 1
