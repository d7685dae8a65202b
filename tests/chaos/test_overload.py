"""Under four times its capacity the server answers as much as it ever can, and in time."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from tests.chaos.load import (
    LONG,
    Found,
    closed_loop,
    get_request,
    infer_request,
    open_loop,
    resident_bytes,
)
from tests.service import zoo
from tests.service.servers import Server, server

pytestmark = pytest.mark.anyio

DEADLINE_S = 2.0
SECONDS = 60 if LONG else 4
TIMES = 4
BATCH = 4
# Enough connections that the requests which wait for a run, at most DEADLINE_S of capacity, leave
# some free for those that are refused at once.
CONNECTIONS = 1000
LIVE = get_request("/v2/health/live")
HEALTH_S = 0.1
# A third of its peak: a server without admission answers nothing in time. The generator
# of four times the load has its share of the two processors, so the short form is no measure.
LEAST_GOODPUT = 0.9 if LONG else 0.3
# The pace that admission knows is that of the runs before, when the generator took less of the two
# processors: for as long as the queue that was let in by it lasts, some answers are late.
MOST_LATE = 0.01 if LONG else 0.5
# From the server's answer to the client that reads it, while a thousand others are read.
READING_S = 0.0 if LONG else 0.5
# In seconds the buffers of a thousand connections are not all there yet; in a minute they are.
MOST_GROWTH = 1.05 if LONG else 1.6


async def test_overload_is_refused_and_the_rest_answered_in_time(
    tmp_path: Path, figure: Callable[..., None]
) -> None:
    """At 4 x capacity what would be late is refused at once, and the rest is answered."""
    zoo.put(tmp_path, "mill", 1, zoo.mill())
    request = infer_request("mill", [1024], binary=True)
    choices = {"MAX_BATCH_SIZE": BATCH, "REQUEST_TIMEOUT_S": DEADLINE_S, "INTRA_OP_THREADS": 1}
    with server(tmp_path, **choices, RUNNERS=1) as running:
        peak = await closed_loop(running.port, [request], clients=4 * BATCH, seconds=SECONDS / 4)
        await open_loop(running.port, [request], TIMES * peak.goodput, 1.0, CONNECTIONS)
        before = resident_bytes(running.process.pid)
        loaded, healthy = await overload(running, request, TIMES * peak.goodput)
        growth = resident_bytes(running.process.pid) / before

    answered = loaded.statuses[200]
    assert loaded.lost == healthy.lost == 0
    assert set(loaded.statuses) <= {200, 429, 504}
    assert loaded.statuses[429] > answered  # three in four are more than it can do
    refused = orjson.loads(loaded.first[429].partition(b"\r\n\r\n")[2])["error"]
    assert "an answer would take about" in refused
    assert b"\r\nretry-after: " in loaded.first[429].lower()
    assert loaded.slowest(0.99) < DEADLINE_S + READING_S
    assert loaded.statuses[504] <= MOST_LATE * answered  # the estimate is an estimate
    assert loaded.goodput >= LEAST_GOODPUT * peak.goodput
    assert growth < MOST_GROWTH
    assert set(healthy.statuses) == {200}
    assert healthy.slowest(0.5) < HEALTH_S
    figure(
        "Overload: at 4 x capacity, what would be late is refused with Retry-After",
        requests=loaded.requests,
        goodput_of_the_peak=round(loaded.goodput / peak.goodput, 2),
        p99_of_the_deadline=round(loaded.slowest(0.99) / DEADLINE_S, 2),
        late=loaded.statuses[504],
        lost=loaded.lost,
        growth_of_memory=round(growth, 3),
        health_p99_ms=round(healthy.slowest(0.99) * 1e3),
    )


async def overload(running: Server, request: bytes, rate: float) -> tuple[Found, Found]:
    """Load the server, and ask it meanwhile twenty times a second whether it lives."""
    return await asyncio.gather(
        open_loop(running.port, [request], rate, SECONDS, CONNECTIONS),
        open_loop(running.port, [LIVE], 20, SECONDS, connections=4),
    )
