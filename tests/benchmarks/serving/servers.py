"""Tiny HTTP servers in a thread, for the generators and checks to meet."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PATIENCE_S = 30


@dataclass(frozen=True)
class Reply:
    """What a server says to a request; None in place of one closes the connection."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"

    def encoded(self) -> bytes:
        head = (
            f"HTTP/1.1 {self.status} X\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


Answering = Callable[[bytes], Reply | None]


@contextmanager
def serving(answering: Answering) -> Iterator[int]:
    """Serve on a free port, which is what the block gets, until it ends."""
    started = threading.Event()
    places: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []

    async def serve() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await _converse(reader, writer, answering)
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        end = asyncio.Event()
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        places.append((asyncio.get_running_loop(), end, port))
        started.set()
        await end.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert started.wait(PATIENCE_S)
    loop, end, port = places[0]
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(PATIENCE_S)


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answering: Answering
) -> None:
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        (length,) = [int(line.split(":")[1]) for line in lines if line.startswith("content-length")]
        reply = answering(await reader.readexactly(length))
        if reply is None:
            return
        writer.write(reply.encoded())
        await writer.drain()
