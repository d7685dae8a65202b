"""What clients leave behind in a server: descriptors, connections, rows that wait, memory."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.chaos.load import descriptors, resident_bytes
from tests.chaos.workers import connections, metrics
from tests.service.servers import Server

_AGAIN_S = 0.05


class Held(NamedTuple):
    """What the processes of a server hold, each of them.

    Args:
        descriptors: by process.
        connections: of clients of HTTP.
        waiting_rows: of all models.
    """

    descriptors: tuple[int, ...]
    connections: int
    waiting_rows: float


def processes(running: Server) -> Sequence[int]:
    """Return the one above the workers, if there is one, and those that serve."""
    return [running.process.pid, *running.workers]


def resident(running: Server) -> int:
    """Return the bytes of all its processes that are in RAM."""
    return sum(resident_bytes(pid) for pid in processes(running))


def heard(running: Server) -> list[str]:
    """Return what the server says on its error stream, as it comes."""
    lines: list[str] = []
    assert running.process.stderr is not None
    stream = running.process.stderr
    threading.Thread(target=lambda: lines.extend(stream), daemon=True).start()
    return lines


async def held(running: Server) -> Held:
    """Return what is held now, beside the connection that asks."""
    told = await metrics(running)
    rows = sum(count for name, count in told.items() if name.startswith("foldserve_waiting_rows"))
    pids = processes(running)
    return Held(
        tuple(descriptors(pid) for pid in pids),
        sum(connections(pid, running.port) for pid in pids),
        rows,
    )


async def settled(running: Server, patience_s: float) -> Held:
    """Return what is held once no client is there, and it is the same twice."""
    until = time.monotonic() + patience_s
    before = await held(running)
    while time.monotonic() < until:
        await asyncio.sleep(_AGAIN_S)
        now = await held(running)
        if now == before and not now.connections and not now.waiting_rows:
            break
        before = now
    return before


async def left_behind(running: Server, before: Held, patience_s: float) -> list[str]:
    """Return what there is more than before, once it was given so many seconds to go."""
    until = time.monotonic() + patience_s
    while found := _more(before, await held(running)):
        if time.monotonic() > until:
            return found
        await asyncio.sleep(_AGAIN_S)
    return []


def _more(before: Held, now: Held) -> list[str]:
    found = [
        f"{after - first} descriptors"
        for first, after in zip(before.descriptors, now.descriptors, strict=True)
        if after > first
    ]
    if now.connections:
        found.append(f"{now.connections} connections")
    if now.waiting_rows:
        found.append(f"{now.waiting_rows:g} rows that wait")
    return found
