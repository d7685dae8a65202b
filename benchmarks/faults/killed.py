"""A process that runs the model is killed under load."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.clients import closed_loop, open_loop
from benchmarks.faults.target import PROBES, Counts, Target, afterwards

CLIENTS = 16  # of a closed loop: batches of 8, a fifth of a second each
PATIENCE_S = 5.0
WATCHED_S = 1.0  # in which the process that computes most is the one that runs the model
WARM_UP_S = 1.0
# Two processes have two processors: without one of them a half is left, or somewhat more.
FULL = 0.85
WINDOW_S = 2.0  # twenty batches
STEP_S = 0.1
HEALTH_RATE = 20.0
HEALTH_CONNECTIONS = 4


async def play(target: Target) -> Counts:
    """Load the server, kill a worker, and see what follows."""
    effort = target.effort
    seconds = WARM_UP_S + effort.peak_s + effort.seconds
    loading = asyncio.create_task(
        closed_loop(target.port, target.requests, CLIENTS, seconds, PATIENCE_S)
    )
    probing = asyncio.create_task(
        open_loop(
            target.port, [target.health], HEALTH_RATE, seconds, HEALTH_CONNECTIONS, PATIENCE_S
        )
    )
    began = time.monotonic()
    await asyncio.sleep(WARM_UP_S + effort.peak_s - WATCHED_S)
    before = ticks(target)
    await asyncio.sleep(WATCHED_S)
    victim = busiest(before, ticks(target))
    name = _name(victim)
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    found, healthy = await loading, await probing
    full = rate(found.when, began + WARM_UP_S, killed)
    return {
        "victim": name,
        "requests": found.requests,
        "statuses": {str(status): count for status, count in found.statuses.items()},
        "lost": found.lost - found.hung,
        "hung": found.hung,
        "rate_before": full,
        "rate_after": rate(found.when, killed, began + seconds),
        "back_s": recovered(found.when, killed, began + seconds, full),
        "health": {str(status): count for status, count in healthy.statuses.items()},
        "health_lost": healthy.lost,
        "afterwards": await afterwards(target, target.ask),
        "probes": PROBES,
    }


def ticks(target: Target) -> dict[int, int]:
    """Processor time of a server's processes so far, but for the one that was started."""
    return {one.pid: one.ticks for one in target.running.processes()[1:]}


def busiest(before: Mapping[int, int], after: Mapping[int, int]) -> int:
    """The process that computed most between two looks."""
    return max(after, key=lambda pid: after[pid] - before.get(pid, 0))


def rate(when: Sequence[float], start: float, end: float) -> float:
    """Good answers a second between two moments."""
    moments = np.asarray(when)
    return float(((moments >= start) & (moments < end)).sum() / (end - start))


def recovered(when: Sequence[float], killed: float, end: float, full: float) -> float | None:
    """Seconds from a worker's death to full capacity; None if it is never reached again.

    Args:
        when: The moment at which each good answer came.
        killed: When the worker died.
        end: When the load ended.
        full: Good answers a second before.
    """
    starts = np.arange(killed, end - WINDOW_S, STEP_S)
    back = [start for start in starts if rate(when, start, start + WINDOW_S) >= FULL * full]
    return float(back[0] - killed) if back else None


def _name(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b" ".join(words).decode(errors="replace").strip()[:200]
