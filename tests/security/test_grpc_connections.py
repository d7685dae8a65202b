"""The same over gRPC: slow, silent and too many connections, floods of frames, large messages."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
from grpc import StatusCode, aio
from onnx import TensorProto

from service.rpc.fields import MOST_PARTS
from service.rpc.messages import SERVICE, protocol
from tests.chaos.load import descriptors, resident_bytes
from tests.security import http2
from tests.security.slowness import LONGEST_S, Slow, connect, endure_all, is_ended
from tests.service import zoo
from tests.service.servers import PATIENCE_S, Server, server

pytestmark = pytest.mark.anyio

IDLE_S = BODY_S = 1.0
SLACK_S = 10.0
MOST_CONNECTIONS = 60
MOST_CALLS = 132  # 32 that may wait, and a hundred beside
MEBIBYTE = 2**20
# A message of the largest shape that lies is held once, at twenty times its bytes, and what an
# allocator keeps of it.
MOST_GROWTH = 160 * MEBIBYTE

MESSAGES = protocol().messages
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = tmp_path_factory.mktemp("models")
    zoo.put(models, "m", 1, zoo.doubler())
    zoo.put(models, "texts", 1, zoo.identity(TensorProto.STRING, ("batch", "n")))
    zoo.put(models, "numbers", 1, zoo.identity(TensorProto.INT64, ("batch", "n")))
    bounds = {
        "IDLE_TIMEOUT_S": IDLE_S,
        "BODY_TIMEOUT_S": BODY_S,
        "MAX_CONNECTIONS": MOST_CONNECTIONS,
        "MAX_QUEUE_SIZE": 32,
        "MAX_BODY_BYTES": 4 * MEBIBYTE,
    }
    with server(models, GRPC_PORT=0, ACCESS_LOG="none", **bounds) as process:
        process.grpc  # noqa: B018 -- the line is read before it is asked for
        yield process
        assert process.stop() == 0


def port_of(running: Server) -> int:
    return int(running.grpc.rpartition(":")[2])


def good_request() -> Any:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3]}
    raw = np.array([[1, 2, 3]], np.float32).tobytes()
    return MESSAGES.ModelInferRequest(model_name="m", inputs=[tensor], raw_input_contents=[raw])


@asynccontextmanager
async def client(running: Server) -> AsyncIterator[Any]:
    """A call of ModelInfer that takes bytes or a message, over a connection of its own."""
    # Else gRPC shares one connection among all of a process.
    own = [("grpc.use_local_subchannel_pool", 1)]
    async with aio.insecure_channel(running.grpc, options=UNLIMITED + own) as channel:
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")

        async def infer(body: bytes | None = None, **options: Any) -> bytes:
            sent = good_request().SerializeToString() if body is None else body
            answer: bytes = await call(sent, timeout=PATIENCE_S, **options)
            return answer

        yield infer


async def refusal(infer: Any, body: bytes | None = None, **options: Any) -> tuple[StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await infer(body, **options)
    return caught.value.code(), caught.value.details()


class Good:
    """A client that asks again and again."""

    def __init__(self, running: Server) -> None:
        self._running = running
        self._answered = asyncio.Event()
        self.calls = 0
        self.slowest = 0.0

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self._ask())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert self.calls
        assert self.slowest < LONGEST_S / 10

    async def until(self, calls: int) -> None:
        """Return once so many were answered."""
        async with asyncio.timeout(LONGEST_S):
            while self.calls < calls:
                await self._answered.wait()
                self._answered.clear()

    async def _ask(self) -> None:
        async with client(self._running) as infer:
            while True:
                began = time.monotonic()
                answer = MESSAGES.ModelInferResponse.FromString(await infer())
                found = np.frombuffer(answer.raw_output_contents[0], np.float32)
                assert found.tolist() == [2, 4, 6]
                self.calls += 1
                self._answered.set()
                self.slowest = max(self.slowest, time.monotonic() - began)


HALF = struct.pack(">BI", 0, 1000) + b"a"  # of a message of a thousand bytes
LET_GO = {
    "says nothing": Slow(b""),
    "begins the preface": Slow(b"PRI * HTTP"),
    "says no more than the preface": Slow(http2.PREFACE[:24]),
    "speaks HTTP/1.1": Slow(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
}
LATE = b"the message was not there after 1 seconds"
TOLD = {
    "calls without a message": (http2.PREFACE + b"".join(map(http2.call, range(8))), b""),
    "calls with half of one": (
        http2.PREFACE + http2.call(0) + http2.part_of_message(0, HALF),
        http2.part_of_message(0, b"a"),
    ),
}


async def told(port: int, first: bytes, drop: bytes) -> None:
    """Be slow until the server says that it does not wait any more; its connection stays."""
    reader, writer = await connect(port)
    writer.write(first)
    found = b""
    async with asyncio.timeout(IDLE_S + BODY_S + SLACK_S):
        while LATE not in found:
            try:
                async with asyncio.timeout(0.1):
                    piece = await reader.read(2**16)
            except TimeoutError:
                writer.write(drop)
            else:
                assert piece, found
                found += piece
    writer.transport.abort()


async def test_who_is_slow_is_let_go_and_nobody_waits_for_it(
    running: Server, figure: Callable[..., None]
) -> None:
    good, before, times = Good(running), descriptors(running.process.pid), 4
    async with good.beside():
        telling = asyncio.gather(
            *(told(port_of(running), *each) for each in TOLD.values() for _ in range(times))
        )
        ended = await endure_all(port_of(running), [*LET_GO.values()], times)
        await telling
    for name, each in zip(LET_GO, ended, strict=True):
        assert all(one.seconds < IDLE_S + SLACK_S for one in each), name
    async with asyncio.timeout(LONGEST_S):
        while descriptors(running.process.pid) > before:  # noqa: ASYNC110 -- another's
            await asyncio.sleep(0.01)
    slow = times * (len(LET_GO) + len(TOLD))
    figure("gRPC: slow on purpose, with a good client", slow=slow, calls=good.calls, lost=0)


async def test_calls_whose_message_does_not_come_hold_their_places_for_its_time_alone(
    running: Server,
) -> None:
    calls = http2.PREFACE + b"".join(map(http2.call, range(MOST_CALLS)))
    slow = asyncio.ensure_future(told(port_of(running), calls, b""))
    async with client(running) as infer, asyncio.timeout(LONGEST_S):
        while not await is_refused(infer):
            pass  # they are on their way
        while await is_refused(infer):
            pass  # until the time of their messages is over
    await slow


async def is_refused(infer: Any) -> bool:
    try:
        await infer()
    except aio.AioRpcError as error:
        if error.code() is not StatusCode.RESOURCE_EXHAUSTED:
            raise
        return True
    return False


async def test_connections_are_bounded_and_those_that_are_there_are_served(
    running: Server, figure: Callable[..., None]
) -> None:
    good, more = Good(running), 2 * MOST_CONNECTIONS
    async with good.beside():
        await good.until(1)
        idle = [await connect(port_of(running)) for _ in range(more)]
        for _, writer in idle:
            writer.write(http2.PREFACE)
        assert descriptors(running.process.pid) < MOST_CONNECTIONS + 60
        ended = sum([await is_ended(reader, 0.01) for reader, _ in idle])
        assert ended >= more - MOST_CONNECTIONS
    for _, writer in idle:
        writer.transport.abort()
    figure("gRPC: connections beyond the bound", connections=more, calls=good.calls, lost=0)


FLOODS = {
    "calls that are cancelled": b"".join(http2.call(i) + http2.cancel(i) for i in range(5000)),
    "pings": http2.ping() * 20_000,
    "a head without end": http2.endless_head(2000),
    "nothing of HTTP/2": bytes(range(256)) * 4096,
}


@pytest.mark.parametrize("name", FLOODS)
async def test_floods_of_frames_are_harmless(running: Server, name: str) -> None:
    before = resident_bytes(running.process.pid)
    for _ in range(3):
        reader, writer = await connect(port_of(running))
        with suppress(ConnectionError, TimeoutError):
            writer.write(http2.PREFACE + FLOODS[name])
            await asyncio.wait_for(writer.drain(), LONGEST_S)
        writer.transport.abort()
        reader.feed_eof()
    # What it has taken of a flood it works off; who calls behind that is answered.
    async with client(running) as infer, asyncio.timeout(LONGEST_S):
        in_a_row = 0
        while in_a_row < 50:
            in_a_row = 0 if await is_turned_away(infer) else in_a_row + 1
    assert resident_bytes(running.process.pid) < before + MOST_GROWTH


async def is_turned_away(infer: Any) -> bool:
    """Whether a call is not answered, for whatever reason."""
    try:
        await infer()
    except aio.AioRpcError:
        return True
    return False


def number(value: int) -> bytes:
    """A varint of protobuf."""
    found = b""
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def field(place: int, data: bytes) -> bytes:
    return number(place << 3 | 2) + number(len(data)) + data


def message(model: str, datatype: str, shape: list[int], inside: bytes) -> bytes:
    """A request whose one input has more inside than a writer of protobuf would write."""
    tensor = MESSAGES.ModelInferRequest.InferInputTensor(name="x", datatype=datatype, shape=shape)
    head: bytes = MESSAGES.ModelInferRequest(model_name=model).SerializeToString()
    return head + field(5, tensor.SerializeToString() + inside)


MANY = 1_500_000
PARTS = {
    "texts": message("texts", "BYTES", [1, MANY], field(5, field(8, b"") * MANY)),
    "texts of another number": message("m", "FP32", [1, 3], field(5, field(8, b"") * MANY)),
    "numbers one by one": message("numbers", "INT64", [1, MANY], field(5, b"\x18\x01" * MANY)),
    "sizes one by one": message("m", "FP32", [1, 3], b"\x18\x01" * MANY),
    "parameters": message("m", "FP32", [1, 3], field(4, field(1, b"k")) * (MANY // 3)),
    "inputs": message("m", "FP32", [1, 3], b"") + field(5, b"") * MANY,
    "outputs": message("m", "FP32", [1, 3], b"") + field(6, b"") * MANY,
    "raw contents": message("m", "FP32", [1, 3], b"") + field(7, b"") * MANY,
    "what nobody knows": message("m", "FP32", [1, 3], b"\x98\x06\x01" * (MANY // 2)),
}
LIES = {
    "values beyond the shape": message(
        "numbers", "INT64", [1, 3], field(5, field(3, b"\1" * (2 * MANY)))
    ),
    "values of another type": message("m", "FP32", [1, 3], field(5, field(3, b"\1" * (2 * MANY)))),
    "sizes": message("m", "FP32", [1, 3], field(3, b"\1" * (2 * MANY))),
    "a huge shape": message("m", "FP32", [2**62, 4], field(5, field(6, bytes(12)))),
    "an empty shape": message("m", "FP32", [0, 2**62], b""),
    "a negative shape": message("m", "FP32", [-1, 3], field(5, field(6, bytes(12)))),
}


async def test_parts_are_counted_before_a_message_is_read(
    running: Server, figure: Callable[..., None]
) -> None:
    """Of what costs two bytes on the way, a message would hold gigabytes."""
    good, before = Good(running), 0
    async with good.beside(), client(running) as infer:
        for _ in range(3):
            before = before or resident_bytes(running.process.pid)
            for name, body in PARTS.items():
                code, details = await refusal(infer, body)
                assert code is StatusCode.INVALID_ARGUMENT, name
                assert details.startswith(f"the message has more than {MOST_PARTS} parts"), name
            for name, body in LIES.items():
                code, details = await refusal(infer, body)
                assert code is StatusCode.INVALID_ARGUMENT, name
                assert details.startswith("inputs[0]"), name
    assert resident_bytes(running.process.pid) < before + MOST_GROWTH
    tried = 3 * (len(PARTS) + len(LIES))
    figure("gRPC: parts, shapes and values that lie", messages=tried, calls=good.calls, wrong=0)


async def test_messages_are_bounded_as_they_come_and_unpacked(running: Server) -> None:
    before = resident_bytes(running.process.pid)
    big = message("m", "FP32", [1, 3], b"") + field(7, bytes(64 * MEBIBYTE))
    async with client(running) as infer:
        for compression in (None, grpc.Compression.Gzip, grpc.Compression.Deflate):
            code, details = await refusal(infer, big, compression=compression)
            assert code is StatusCode.RESOURCE_EXHAUSTED, (compression, details)
        assert await infer()
    assert resident_bytes(running.process.pid) < before + MOST_GROWTH


async def test_metadata_is_bounded(running: Server) -> None:
    async with client(running) as infer:
        code, _ = await refusal(infer, metadata=[("x-long", "a" * 100_000)])
        assert code is StatusCode.RESOURCE_EXHAUSTED
        code, _ = await refusal(infer, metadata=[(f"x-{i}", "a" * 100) for i in range(1000)])
        assert code is StatusCode.RESOURCE_EXHAUSTED
        assert await infer(metadata=[("x-short", "a")])
