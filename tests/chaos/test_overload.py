"""Under four times its capacity the server answers as much as it ever can, and in time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
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

SECONDS = 60 if LONG else 6
TIMES = 4
BATCH = 4


@dataclass(frozen=True)
class Kind:
    """A model and its clients.

    Args:
        turns: products in a run.
        deadline_s: of a request.
        least_goodput: of the peak, in the long form and in the short one. The short form is part
            of every run of the tests, beside whatever the machine does meanwhile; a server without
            admission answers nothing in time.
    """

    turns: int
    deadline_s: float
    least_goodput: tuple[float, float]


KINDS = {
    # Some 50 milliseconds a run: the load is the model's.
    "long runs": Kind(turns=600, deadline_s=2.0, least_goodput=(0.9, 0.5)),
    # Some 6 milliseconds: to refuse thousands of requests a second is work as well, and on two
    # processors the generator of so many takes the time that the runs are measured by.
    "short runs": Kind(turns=60, deadline_s=0.2, least_goodput=(0.7, 0.3)),
}
# Enough that the requests which wait for a run, at most a deadline's of capacity, leave some free
# for those that are refused at once.
CONNECTIONS = 500
LIVE = get_request("/v2/health/live")
HEALTH_S = 0.1
MOST_LATE = 0.01 if LONG else 0.25
READING_S = 0.0 if LONG else 0.25  # from the server's answer to the client that reads it
# Of the memory when every connection has been in use and the queue is as long as it gets, which
# takes some ten seconds; in the short form it is not yet.
FILLED_S = 15 if LONG else 3
MOST_GROWTH = 1.05 if LONG else 1.25


@pytest.mark.parametrize("name", KINDS)
async def test_overload_is_refused_and_the_rest_answered_in_time(
    tmp_path: Path, figure: Callable[..., None], name: str
) -> None:
    """At 4 x capacity what would be late is refused at once, and the rest is answered."""
    kind = KINDS[name]
    zoo.put(tmp_path, "mill", 1, zoo.mill(turns=kind.turns))
    request = infer_request("mill", [1024], binary=True)
    choices = {"MAX_BATCH_SIZE": BATCH, "REQUEST_TIMEOUT_S": kind.deadline_s, "INTRA_OP_THREADS": 1}
    with server(tmp_path, **choices, RUNNERS=1) as running:
        peak = await closed_loop(running.port, [request], clients=4 * BATCH, seconds=SECONDS / 4)
        loaded, healthy, growth = await overload(running, request, TIMES * peak.goodput)

    answered = loaded.statuses[200]
    assert loaded.lost == healthy.lost == 0
    assert set(loaded.statuses) <= {200, 429, 504}
    assert loaded.statuses[429] > answered  # three in four are more than it can do
    refused = orjson.loads(loaded.first[429].partition(b"\r\n\r\n")[2])["error"]
    assert "an answer would take about" in refused
    assert b"\r\nretry-after: " in loaded.first[429].lower()
    assert loaded.slowest(0.99) < kind.deadline_s + READING_S
    assert loaded.statuses[504] <= MOST_LATE * answered  # the estimate is an estimate
    assert loaded.goodput >= kind.least_goodput[0 if LONG else 1] * peak.goodput
    assert growth < MOST_GROWTH
    assert set(healthy.statuses) == {200}
    assert healthy.slowest(0.99 if LONG else 0.5) < HEALTH_S
    figure(
        f"Overload: at 4 x capacity, {name}",
        requests=loaded.requests,
        goodput_of_the_peak=round(loaded.goodput / peak.goodput, 2),
        p99_of_the_deadline=round(loaded.slowest(0.99) / kind.deadline_s, 2),
        late=loaded.statuses[504],
        lost=loaded.lost,
        growth_of_memory=round(growth, 3),
        health_p99_ms=round(healthy.slowest(0.99) * 1e3),
    )


async def overload(running: Server, request: bytes, rate: float) -> tuple[Found, Found, float]:
    """Load the server, and ask it meanwhile twenty times a second whether it lives.

    Returns:
        What came of both, and the share by which the server's memory grew once it was filled.
    """

    async def growth() -> float:
        await asyncio.sleep(FILLED_S)
        before = resident_bytes(running.process.pid)
        await asyncio.sleep(SECONDS - FILLED_S)
        return resident_bytes(running.process.pid) / before

    return await asyncio.gather(
        open_loop(running.port, [request], rate, SECONDS, CONNECTIONS),
        open_loop(running.port, [LIVE], 20, SECONDS, connections=4),
        growth(),
    )
