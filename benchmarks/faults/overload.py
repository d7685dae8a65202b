"""Four times as many requests as a server answers, of clients who have a deadline."""

import asyncio
import math
from collections.abc import Sequence

import numpy as np

from benchmarks.clients import Found, closed_loop, open_loop
from benchmarks.faults.target import Counts, Target

TIMES = 4
DEADLINE_S = 2.0  # after it an answer is worth nothing
PATIENCE_S = 5.0  # after it a client hangs up
SHARE = 0.7  # of the deadline, for the wait and the run: what our own server allows is 0.8
CLIENTS = 16  # of the peak: batches of 8, in which a row costs as little as in larger ones
HEALTH_RATE = 20.0  # a second, as a careful prober asks
HEALTH_CONNECTIONS = 4
WARM_UP_S = 1.0
SAMPLING_S = 1.0  # between two looks at the memory
RETRY_AFTER = b"\r\nretry-after:"
MS = 1e3


async def peak(target: Target) -> float:
    """What the server answers in a second, at most."""
    await closed_loop(target.port, target.requests, CLIENTS, WARM_UP_S, PATIENCE_S)
    seconds = target.effort.peak_s
    return (await closed_loop(target.port, target.requests, CLIENTS, seconds, PATIENCE_S)).goodput


def most(answered: float) -> int:
    """How many requests should be in a server at once that answers so many a second.

    The bound that somebody sets who has measured it: the last of them is in time.
    """
    return max(CLIENTS, round(SHARE * DEADLINE_S * answered))


async def measure(target: Target) -> Counts:
    """Only measure the peak, to set a server's bound by it."""
    return {"peak": await peak(target)}


async def play(target: Target) -> Counts:
    """Measure the peak, then load the server with four times as much."""
    seconds = target.effort.seconds
    at_most = await peak(target)
    before = target.running.memory().pss_mb
    rate = TIMES * at_most
    over = asyncio.Event()
    watching = asyncio.create_task(_most_memory(target, over))
    loaded, healthy = await asyncio.gather(
        open_loop(target.port, target.requests, rate, seconds, _connections(rate), PATIENCE_S),
        open_loop(
            target.port, [target.health], HEALTH_RATE, seconds, HEALTH_CONNECTIONS, PATIENCE_S
        ),
    )
    over.set()
    return {
        **counted(loaded, seconds),
        "peak": at_most,
        "health": {str(status): count for status, count in healthy.statuses.items()},
        "health_lost": healthy.lost,
        "health_p50_ms": _none_for_nan(healthy.slowest(0.5) * MS),
        "health_p99_ms": _none_for_nan(healthy.slowest(0.99) * MS),
        "memory_before_mb": before,
        "memory_most_mb": await watching,
    }


def counted(loaded: Found, seconds: float) -> Counts:
    """What became of the requests of an overload.

    Args:
        loaded: What the clients found.
        seconds: For which requests came.
    """
    in_time = sum(latency <= DEADLINE_S for latency in loaded.good)
    return {
        "requests": loaded.requests,
        "statuses": {str(status): count for status, count in loaded.statuses.items()},
        "retry_after": sorted(
            str(status) for status, answer in loaded.first.items() if _says_when(answer)
        ),
        "in_time": in_time,
        "late": len(loaded.good) - in_time,
        "lost": loaded.lost - loaded.hung,
        "hung": loaded.hung,
        "goodput": steady(loaded.when, loaded.good, loaded.began, seconds),
        "p50_s": _none_for_nan(loaded.slowest(0.5)),
        "p99_s": _none_for_nan(loaded.slowest(0.99)),
    }


def steady(
    when: Sequence[float], latencies: Sequence[float], began: float, seconds: float
) -> float:
    """Answers in time a second, once the server is full and as long as requests come.

    Args:
        when: The moment at which each good answer came.
        latencies: How long each of them took.
        began: When the load began.
        seconds: How long it went.
    """
    moments, took = np.asarray(when), np.asarray(latencies)
    full = min(DEADLINE_S, seconds / 2)
    counts = (moments >= began + full) & (moments < began + seconds) & (took <= DEADLINE_S)
    return float(counts.sum() / (seconds - full))


def _connections(rate: float) -> int:
    """As many as there are clients who wait at once, at most."""
    return math.ceil(rate * PATIENCE_S) + 1


async def _most_memory(target: Target, over: asyncio.Event) -> float:
    most = 0.0
    while not over.is_set():
        most = max(most, target.running.memory().pss_mb)
        try:
            async with asyncio.timeout(SAMPLING_S):
                await over.wait()
        except TimeoutError:
            continue
    return max(most, target.running.memory().pss_mb)


def _says_when(answer: bytes) -> bool:
    return RETRY_AFTER in answer.partition(b"\r\n\r\n")[0].lower()


def _none_for_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
