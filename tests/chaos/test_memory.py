"""A run for which there is not the memory is a 503; the next one is answered."""

import resource
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.chaos.load import LONG, Client, Found, infer_request
from tests.service import zoo
from tests.service.servers import server

pytestmark = pytest.mark.anyio

TURNS = 100 if LONG else 5
# Above what the process takes for itself and its threads, and far below what the run would.
LIMIT = 8 * 2**30
ROWS = 4096  # of four megabytes each in the answer
LARGE = infer_request("expander", [1], ROWS, binary=True)
SMALL = infer_request("expander", [1], 1, binary=True)


async def test_a_run_without_the_memory_for_it_is_refused_and_the_next_is_answered(
    tmp_path: Path, figure: Callable[..., None]
) -> None:
    zoo.put(tmp_path, "expander", 1, zoo.expander())
    choices = {"MAX_BATCH_SIZE": ROWS, "MAX_QUEUE_SIZE": ROWS, "WORKERS": 2}
    found = Found()
    with (
        server(tmp_path, **choices) as running,
        closing(Client(running.port, found)) as client,
    ):
        workers = running.workers
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_AS, (LIMIT, LIMIT))
        for _ in range(TURNS):
            refused = await client.ask(LARGE)
            assert b"there is not the memory for this run" in refused
            assert b"retry-after: 1" in refused.lower()
            assert len(await client.ask(SMALL)) > 2**22
        assert running.workers == workers
        assert running.stop() == 0
    assert found.statuses == {503: TURNS, 200: TURNS}
    assert found.lost == 0
    figure("Out of memory is a 503 and the worker goes on", faults=TURNS, lost=0, crashed=0)
