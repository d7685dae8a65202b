"""The real server under damaged bytes: what is sent, what is kept, how the server is then."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

from tests.chaos.load import HOST, resident_bytes
from tests.security.fuzz.judgement import NOBODY, Search, alarms
from tests.service.servers import Server

SHORT_S = 0.8
SECONDS = float(os.environ.get("FUZZ_SECONDS", SHORT_S))
"""How long each search goes on (``make fuzz SECONDS=``)."""

SEED = int(os.environ.get("FUZZ_SEED", "0"))
"""Of all random numbers: with the same one the same inputs come in the same order."""

CORPUS = Path(__file__).parent / "corpus"
"""What was found once, by search; each file is tried in each run."""

PATIENCE_S = 10.0
"""For an answer to a few kilobytes: five times as long as a run that is ended."""

# A few of the largest bodies and pictures at once, of two workers; the search is of thousands.
MOST_GROWTH_MEBIBYTES = 128

# Until then pools and caches are full, and what comes behind is growth.
SETTLING_S = 0.3

_CLIENTS = 32

# The end of what is sent is the end of a client: what it asked for is given up. So it is sent once
# there is an answer, or none seems to come.
_QUIET_S = 0.2

Input = TypeVar("Input")
Take = Callable[[Search, bytes, bytes | None], None]


def corpus(name: str) -> list[bytes]:
    """Return what was found in a search of this name, which is never nothing."""
    found = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    assert found, f"{CORPUS / name} is empty, or is not there"
    return found


def keep(search: Search, into: Path) -> str:
    """Write what was found where a person finds it; return the words of a failure."""
    if not search.wrong:
        return ""
    folder = into / search.name
    folder.mkdir(parents=True, exist_ok=True)
    for number, (sent, answer) in enumerate(search.wrong[:10]):
        (folder / f"{number}").write_bytes(sent)
        (folder / f"{number}.answer").write_bytes(answer)
    return (
        f"{len(search.wrong)} found with FUZZ_SEED={SEED}, kept in {folder}, to go into"
        f" {CORPUS / search.name}: {search.wrong[0]!r:.600}"
    )


def tell(search: Search) -> None:
    """Print what a search tried."""
    print(f"\n{search} (FUZZ_SEED={SEED})")  # noqa: T201 -- for whoever waits for it


async def send_all(
    search: Search,
    port: int,
    inputs: Iterable[bytes],
    seconds: float = 3600.0,
    alive: Callable[[], bool] = lambda: True,
    patience_s: float = PATIENCE_S,
    *,
    take: Take = Search.take,
) -> None:
    """Send each input on a connection of its own, and its end; stop after so many seconds.

    Args:
        search: told the answers.
        port: on this machine.
        inputs: to send.
        seconds: after which no other is sent.
        alive: asked after each answer that is none; what was under way at the death of a worker
            is a find, and the end of the search.
        patience_s: for an answer.
        take: judges them.
    """

    async def one(data: bytes) -> bool:
        answer = await ask(port, data, patience_s)
        take(search, data, answer)
        if not answer and not alive():
            search.blame(data, b"a worker died meanwhile")
            return False
        return True

    await share(one, inputs, seconds)


async def share(
    one: Callable[[Input], Awaitable[bool]], inputs: Iterable[Input], seconds: float
) -> None:
    """Have several clients try inputs in turns.

    Args:
        one: tries an input; returns whether there may be another.
        inputs: of which none is tried twice.
        seconds: after which no other is tried.
    """
    waiting: Iterator[Input] = iter(inputs)
    until = time.monotonic() + seconds

    async def client() -> None:
        for each in waiting:
            if not await one(each) or time.monotonic() > until:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(_CLIENTS):
            group.create_task(client())


async def ask(port: int, data: bytes, patience_s: float = PATIENCE_S) -> bytes | None:
    """Return everything that came back; None if the server did not end the connection."""
    writer = None
    pieces: list[bytes] = []
    try:
        async with asyncio.timeout(patience_s):
            reader, writer = await asyncio.open_connection(HOST, port)
            with suppress(OSError):  # it ends when the server ends it
                writer.write(data)
                await writer.drain()
                pieces.append(await _first(reader))
                writer.write_eof()
                while piece := await reader.read(2**16):
                    pieces.append(piece)
    except TimeoutError:
        return None
    except ConnectionRefusedError:
        return NOBODY
    finally:
        if writer is not None:
            writer.transport.abort()
    return b"".join(pieces)


async def _first(reader: asyncio.StreamReader) -> bytes:
    """Return what comes first; nothing if the server waits for more, as it seems."""
    try:
        async with asyncio.timeout(_QUIET_S):
            return await reader.read(2**16)
    except TimeoutError:
        return b""


class Watch:
    """How a server is, beside what it answers.

    Args:
        running: of several workers.
    """

    def __init__(self, running: Server) -> None:
        self._running = running
        self._workers = running.workers
        self._before = 0
        self._lines: list[str] = []
        assert running.process.stderr is not None
        self._reading = threading.Thread(target=self._read, args=(running.process.stderr,))
        self._reading.start()

    def begin(self) -> None:
        """Let what is taken from now on be growth."""
        self._before = self._memory()

    def alive(self) -> bool:
        """Return whether the server and its workers are those that there were."""
        return self._running.process.poll() is None and self._running.workers == self._workers

    def complaints(self) -> list[str]:
        """Return what is wrong with the server, in words."""
        found = alarms(self._lines)
        if not self.alive():
            return [*found, f"of the workers {self._workers} some died: {self._running.workers}"]
        grown = (self._memory() - self._before) / 2**20
        if grown > MOST_GROWTH_MEBIBYTES:
            found.append(f"the server grew by {grown:.0f} MiB")
        return found

    def end(self) -> None:
        """Return once the log of a server that ended is read."""
        self._reading.join()

    def _read(self, log: IO[str]) -> None:
        self._lines += log  # a pipe that nobody reads is full one day

    def _memory(self) -> int:
        pids = [self._running.process.pid, *self._running.workers]
        return sum(resident_bytes(pid) for pid in pids)
