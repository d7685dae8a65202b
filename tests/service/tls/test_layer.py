"""The layer of TLS, between a real socket and a protocol that writes down what it is told."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from service.tls.credentials import read_credentials
from service.tls.layer import TlsLayer
from tests.service import certificates
from tests.service.certificates import Files, files

pytestmark = pytest.mark.anyio

# Enough for a loaded machine; a test that needs it has failed.
PATIENCE_S = 30
LARGE = bytes(range(256)) * 2**13  # 2 MiB: more than the buffers of a connection take at once


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def given(tmp_path: Path) -> Files:
    return files(tmp_path)


class Above(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.eof = False
        self.paused = False
        self.was_paused = False
        self.made = asyncio.Event()
        self.changed = asyncio.Event()
        self.lost = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.Transport = transport
        self.made.set()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.changed.set()

    def eof_received(self) -> None:
        self.eof = True

    def pause_writing(self) -> None:
        self.paused = self.was_paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.changed.set()

    def connection_lost(self, _exc: Exception | None) -> None:
        self.lost.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Layer(TlsLayer):
    """Carries one ``Above``."""

    def __init__(self, context: ssl.SSLContext, patience_s: float = PATIENCE_S) -> None:
        super().__init__(context, patience_s)
        self.above = Above()
        self.refused: list[str | None] = []
        self.ended = asyncio.Event()

    def open(self) -> asyncio.Protocol:
        return self.above

    def refuse(self, error: ssl.SSLError) -> None:
        self.refused.append(error.reason)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.ended.set()


@asynccontextmanager
async def listening(given: Files, **options: Any) -> AsyncIterator[tuple[int, list[Layer]]]:
    """Serve layers; give the port, and those that were made."""
    credentials = read_credentials(given.settings(Path("models")))
    assert credentials is not None
    layers: list[Layer] = []

    def make() -> Layer:
        layers.append(Layer(credentials.context, **options))
        return layers[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], layers
    finally:
        server.close()
        for layer in layers:
            layer.abort()
        for layer in layers:
            await asyncio.wait_for(layer.ended.wait(), PATIENCE_S)


@asynccontextmanager
async def connected(
    given: Files, port: int, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    # A client that reads slower than it receives loses the rest at the end, if uvloop's.
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        port,
        ssl=context or certificates.client(given.authority),
        limit=2 * len(LARGE),
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_what_goes_in_comes_out_whole_both_ways(
    given: Files, version: ssl.TLSVersion
) -> None:
    context = certificates.client(given.authority)
    context.minimum_version = context.maximum_version = version
    async with (
        listening(given) as (port, layers),
        connected(given, port, context) as (reader, writer),
    ):
        writer.write(b"small")
        writer.write(LARGE)
        above = layers[0].above
        await above.until(lambda: len(above.received) == 5 + len(LARGE))
        assert above.received == b"small" + LARGE
        above.transport.write(b"")
        above.transport.write(memoryview(LARGE))
        above.transport.write(b"small")
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.readexactly(len(LARGE) + 5) == LARGE + b"small"


async def test_the_transport_knows_its_peer_and_that_it_is_secure(given: Files) -> None:
    async with listening(given) as (port, layers), connected(given, port) as (_, writer):
        await layers[0].above.made.wait()
        transport = layers[0].above.transport
        assert transport.get_extra_info("peername") == writer.get_extra_info("sockname")
        assert isinstance(transport.get_extra_info("sslcontext"), ssl.SSLContext)
        assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert transport.get_extra_info("nothing", 7) == 7


async def test_what_is_unsent_is_counted_and_told_above(given: Files) -> None:
    """All of it, whatever of it the transport below has in hand already."""
    async with listening(given) as (port, layers), connected(given, port) as (reader, _):
        await layers[0].above.made.wait()
        above = layers[0].above
        whole = 0
        while not above.paused:
            above.transport.write(LARGE)
            whole += len(LARGE)
        # The system and the client's reader have taken some; TLS has made it no smaller.
        assert above.transport.get_write_buffer_size() > 0
        left = above.transport.get_write_buffer_size()
        async with asyncio.timeout(PATIENCE_S):
            await reader.readexactly(whole)
        await above.until(lambda: not above.paused)
        assert above.transport.get_write_buffer_size() < left


async def test_what_was_written_before_the_end_arrives_and_the_end_is_told(given: Files) -> None:
    async with listening(given) as (port, layers), connected(given, port) as (reader, _):
        await layers[0].above.made.wait()
        transport = layers[0].above.transport
        transport.write(LARGE)
        transport.close()
        assert transport.is_closing()
        transport.write(b"dropped")
        transport.close()  # a second time changes nothing
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == LARGE  # an end that was not told would raise
            await layers[0].above.lost.wait()


async def test_the_end_does_not_wait_for_the_clients_last_word(given: Files) -> None:
    """A client that pools connections reads nothing from one that it does not use."""
    async with listening(given) as (port, layers):
        with await asyncio.to_thread(shaken, given, port):
            await layers[0].above.made.wait()
            layers[0].above.transport.close()
            async with asyncio.timeout(PATIENCE_S):
                await layers[0].above.lost.wait()


def shaken(given: Files, port: int) -> ssl.SSLSocket:
    """Connect, and read nothing by itself."""
    raw = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    return certificates.client(given.authority).wrap_socket(raw, server_hostname="127.0.0.1")


async def test_it_can_end_one_way_and_read_no_more_than_the_end(given: Files) -> None:
    async with listening(given) as (port, layers), connected(given, port) as (reader, writer):
        above = layers[0].above
        await above.made.wait()
        transport = above.transport
        assert transport.can_write_eof()
        transport.write(b"last words")
        transport.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b"last words"
        assert not above.lost.is_set()
        writer.write(b"nobody reads it")
        writer.close()
        async with asyncio.timeout(PATIENCE_S):
            await above.lost.wait()
        assert not above.received


async def test_the_clients_end_is_told_behind_what_it_sent(given: Files) -> None:
    async with listening(given) as (port, layers):
        with await asyncio.to_thread(shaken, given, port) as client:
            await asyncio.to_thread(client.sendall, b"the last")
            (await asyncio.to_thread(client.unwrap)).close()  # says the end, and waits for ours
        above = layers[0].above
        async with asyncio.timeout(PATIENCE_S):
            await above.lost.wait()
        assert above.received == b"the last"
        assert above.eof


async def test_nothing_is_read_while_reading_is_paused(given: Files) -> None:
    async with listening(given) as (port, layers), connected(given, port) as (_, writer):
        above = layers[0].above
        await above.made.wait()
        above.transport.pause_reading()
        writer.write(LARGE)
        done, _ = await asyncio.wait([asyncio.create_task(above.changed.wait())], timeout=0.05)
        assert not done
        above.transport.resume_reading()
        await above.until(lambda: len(above.received) == len(LARGE))


async def test_a_handshake_that_never_comes_is_ended(given: Files) -> None:
    async with listening(given, patience_s=0.05) as (port, layers):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        assert not layers[0].above.made.is_set()
        writer.transport.abort()


async def test_a_handshake_of_one_byte_after_the_other_is_ended_too(given: Files) -> None:
    hello = client_hello()
    async with listening(given, patience_s=0.2) as (port, layers):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(PATIENCE_S):
            for i in range(len(hello)):
                if layers and layers[0].ended.is_set():
                    break
                writer.write(hello[i : i + 1])
                await asyncio.sleep(0.01)  # slowly: that is what is tried
        assert layers[0].ended.is_set()
        assert i < len(hello) - 1
        writer.transport.abort()


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    asking = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        asking.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP_REQUEST"),
        (b"\x16\x03\x01\xff\xff" + b"\x00" * 100, None),
        (b"SSH-2.0-x\r\n", None),
    ],
    ids=["http", "a record too long", "ssh"],
)
async def test_what_is_no_handshake_is_refused_at_once(
    given: Files, sent: bytes, reason: str | None
) -> None:
    async with listening(given) as (port, layers):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
            await layers[0].ended.wait()
        assert len(layers[0].refused) == 1
        assert reason in (None, layers[0].refused[0])
        assert not layers[0].above.made.is_set()
        writer.transport.abort()


async def test_a_forged_record_ends_the_connection(given: Files) -> None:
    forged = b"\x17\x03\x03\x00\x20" + bytes(32)
    async with listening(given) as (port, layers):
        client = await asyncio.to_thread(shaken, given, port)
        with socket.socket(fileno=client.detach()) as raw:  # past the client's own TLS
            raw.sendall(forged)
            async with asyncio.timeout(PATIENCE_S):
                await layers[0].above.lost.wait()
        assert not layers[0].above.received
