"""A long time of all that clients do: nothing grows, nothing is lost, every answer is right."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.chaos.asks import MILL, Ask, Rng
from tests.chaos.good_asks import in_place
from tests.chaos.leaking import leaking_server
from tests.chaos.leavers import Calling, Leavers, Visit
from tests.chaos.left_behind import heard, left_behind, resident, settled
from tests.chaos.load import LONG, PATIENCE_S
from tests.chaos.mixture import BAD, GOOD, Kind, put_models
from tests.chaos.soak import Heard, Soak
from tests.chaos.workers import metrics
from tests.service.servers import Server, server

pytestmark = pytest.mark.anyio

FIRST, ALL = (20_000, 200_000) if LONG else (2_000, 6_000)
# What a request may need stays in the allocators' pools once it was needed, and in the first few
# thousand requests each of threads, sizes and routes comes for the first time somewhere: the short
# form begins to measure in the middle of that. A leak of a kilobyte a request is 60 % and 1 % of
# the memory in the two forms, so the short one sees the gross ones alone.
MOST_GROWTH = 1.05 if LONG else 1.10
SOON_S = 5.0  # for what may take a moment to go
MODELS = {"m": (1, 3), "mill": (1, MILL)}
LONGEST_S = 0.02  # that the answers which nobody waits for take about
FEW = 600  # before and after which a twin is measured


class Outcome(NamedTuple):
    """What a server is like after a soak.

    Args:
        growth: of its memory, since the first requests.
        left: what it holds more than after them.
        workers: whether they are the same processes.
        failures: answers of 500 and above that it counted, by status.
        heard: by the clients.
    """

    growth: float
    left: Sequence[str]
    workers: bool
    failures: Counter[int]
    heard: Heard

    def faults(self) -> list[str]:
        """Return what is not as it should be."""
        heard = self.heard
        failures = Counter({status: heard.found.statuses[status] for status in (500, 504)})
        return [
            *heard.wrong,
            *self.left,
            *([f"{heard.found.lost} lost"] if heard.found.lost else ()),
            *([f"memory is {self.growth:.3f} of before"] if self.growth > MOST_GROWTH else ()),
            *(["workers have changed"] if not self.workers else ()),
            *([f"it counted {self.failures}"] if self.failures != failures else ()),
        ]


async def soaked(running: Server, kinds: Sequence[tuple[Kind, int]], *requests: int) -> Outcome:
    """Ask the first requests, look, ask the others, and look again."""
    soak = Soak(running.port, running.grpc, kinds, leavers(running))
    workers = running.workers
    await soak.ask(requests[0])
    before, resident_before = await settled(running, PATIENCE_S), resident(running)
    await soak.ask(requests[1])
    left = await left_behind(running, before, SOON_S)
    growth = resident(running) / resident_before
    same = running.workers == workers
    return Outcome(growth, left, same, await failures(running), soak.heard)


def leavers(running: Server) -> Leavers:
    rng = np.random.default_rng(0)
    asked = [kind(rng) for kind, _ in GOOD]
    visits = [
        Visit(running.port, each.request, LONGEST_S) for each in asked if isinstance(each, Ask)
    ]
    calls = [
        Calling(running.grpc, model, np.ones(shape, np.float32), LONGEST_S)
        for model, shape in MODELS.items()
    ]
    return Leavers(visits, calls, seed=0)


async def failures(running: Server) -> Counter[int]:
    """Return how many answers of 500 and above the server has counted."""
    found: Counter[int] = Counter()
    for name, count in (await metrics(running)).items():
        if name.startswith("foldserve_requests_total") and 'status="5' in name:
            found[int(name.partition('status="')[2][:3])] += int(count)
    return found


@pytest.fixture
def root(root: Path) -> Path:
    put_models(root)
    return root


async def test_a_long_time_of_everything_leaves_the_server_as_it_was(
    root: Path, figure: Callable[..., None]
) -> None:
    with server(root, WORKERS=2, GRPC_PORT=0, LOG_LEVEL="error") as running:
        said = heard(running)
        outcome = await soaked(running, (*GOOD, *BAD), FIRST, ALL - FIRST)
        assert running.stop() == 0
    assert outcome.faults() == []
    expected = "run failed"  # of each poison
    assert [line for line in said if expected not in line] == []
    kinds = outcome.heard.kinds
    assert kinds.total() - kinds["slowly"] == ALL
    assert set(kinds) == {kind.__name__ for kind, _ in (*GOOD, *BAD)} | {"leavers", "slowly"}
    bad = sum(kinds[kind.__name__] for kind, _ in BAD)
    figure(
        f"Soak: good, bad, slow and cancelled requests, memory after {FIRST:,} and at the end",
        requests=ALL,
        bad=bad,
        slow=kinds["slowly"],
        cancelled=kinds["leavers"],
        lost=0,
        wrong=0,
        workers_restarted=0,
        growth_of_memory=round(outcome.growth, 3),
        descriptors_more=0,
    )


async def test_a_server_that_keeps_some_bytes_of_each_request_is_found_out(root: Path) -> None:
    with leaking_server("bytes", root, WORKERS=2, GRPC_PORT=0, LOG_LEVEL="error") as running:
        heard(running)
        outcome = await soaked(running, (*GOOD, *BAD), FEW, 3 * FEW)
    assert any(fault.startswith("memory is 1.") for fault in outcome.faults())


async def test_a_wrong_answer_is_found_out(root: Path) -> None:
    def in_vain(rng: Rng) -> Ask:
        asked = in_place(rng)
        return asked._replace(holds=lambda body: not asked.holds(body))

    with server(root, GRPC_PORT=0) as running:
        outcome = await soaked(running, [(in_vain, 1)], 10, 10)
    answered = outcome.heard.found.statuses[200]
    assert 0 < answered == len(outcome.faults())
