"""The real server under damaged bytes, and what it may answer to them."""

import asyncio
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.load import HOST, resident_bytes
from tests.service.servers import Server

SECONDS = float(os.environ.get("FUZZ_SECONDS", "3"))
"""How long each search goes on (``make fuzz SECONDS=``)."""

SEED = int(os.environ.get("FUZZ_SEED", "0"))

CORPUS = Path(__file__).parent / "corpus"
"""What was found once, by search; each file is tried in each run."""

# An answer to a few kilobytes; the longest run that is waited for, so a hang is seen as one.
_PATIENCE_S = 10.0

_CLIENTS = 8
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

# 500 is intended where a model's answer has no JSON, or a model fails; 501 of HTTP is nobody's.
_INTENDED = {
    100,
    200,
    307,
    400,
    401,
    404,
    405,
    408,
    411,
    413,
    414,
    415,
    417,
    422,
    429,
    431,
    503,
    504,
}
_INTENDED_500 = (b"holds NaN or infinity", b"the model failed on this input", b"are not finite")


@dataclass
class Search:
    """What a search found.

    Args:
        statuses: of the answers.
        tried: inputs that were sent.
        wrong: those that were answered as nothing should be, or not at all, with the answers.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    tried: int = 0
    wrong: list[tuple[bytes, bytes]] = field(default_factory=list)

    def take(self, sent: bytes, answer: bytes | None) -> None:
        """Judge one answer; without one the server hung."""
        self.tried += 1
        if answer is None:
            self.wrong.append((sent, b"no answer"))
            return
        found = [int(each) for each in _STATUS.findall(answer)]
        self.statuses.update(found or [0])
        for part in re.split(rb"(?=HTTP/1\.1 \d{3} )", answer):
            if part.startswith(b"HTTP/1.1 500 "):
                if not any(reason in part for reason in _INTENDED_500):
                    self.wrong.append((sent, part))
            elif part and not {int(each) for each in _STATUS.findall(part)} <= _INTENDED:
                self.wrong.append((sent, part))


async def send_all(port: int, inputs: Iterable[bytes], seconds: float = 3600.0) -> Search:
    """Send each input on a connection of its own, and its end; stop after so many seconds."""
    search = Search()
    waiting: Iterator[bytes] = iter(inputs)
    until = time.monotonic() + seconds

    async def client() -> None:
        for data in waiting:
            search.take(data, await _send(port, data))
            if time.monotonic() > until:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(_CLIENTS):
            group.create_task(client())
    return search


async def _send(port: int, data: bytes) -> bytes | None:
    """Return everything that came back; None if the server did not end the connection."""
    reader, writer = await asyncio.open_connection(HOST, port)
    answer = b""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            with suppress(ConnectionError):
                writer.write(data)
                writer.write_eof()
                await writer.drain()
            with suppress(ConnectionError):
                while piece := await reader.read(2**16):
                    answer += piece
    except TimeoutError:
        return None
    finally:
        writer.transport.abort()
    return answer


def corpus(name: str) -> list[bytes]:
    """Return what was found in a search of this name."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


def keep(name: str, search: Search, into: Path) -> str:
    """Write what was found where a person finds it; return the words of a failure."""
    if not search.wrong:
        return ""
    folder = into / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, (sent, answer) in enumerate(search.wrong[:10]):
        (folder / f"{number}").write_bytes(sent)
        (folder / f"{number}.answer").write_bytes(answer)
    return f"{len(search.wrong)} found, kept in {folder}: {search.wrong[0]!r:.600}"


class Memory:
    """How much the server's processes have grown since it was made."""

    def __init__(self, running: Server) -> None:
        self._running = running
        self._before = self._now()

    def _now(self) -> int:
        pids = [self._running.process.pid, *self._running.workers]
        return sum(resident_bytes(pid) for pid in pids)

    @property
    def grown_mebibytes(self) -> float:
        return (self._now() - self._before) / 2**20
