"""Workers that hang under load, and a machine that was asleep."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.load import PATIENCE_S
from tests.chaos.workers import READY, REQUEST, asked, connections, replaced, stop, until
from tests.service.servers import server

pytestmark = pytest.mark.anyio

SILENCE_S = 5  # the least that can be set
IMPATIENT = {
    "WORKERS": 2,
    "WORKER_TIMEOUT_S": SILENCE_S,
    "RUN_TIMEOUT_S": SILENCE_S - 1,  # a run may hold up its worker for as long
    "LOG_LEVEL": "error",
}


async def test_a_worker_that_hangs_is_killed_and_replaced_and_nobody_else_is_lost(
    root: Path, figure: Callable[..., None]
) -> None:
    """Who connects to it while it hangs is answered by its successor."""
    with server(root, **IMPATIENT) as running:
        victim = max(running.workers)
        async with asked(running, [REQUEST] * 12 + [READY] * 2) as found:
            await until(lambda: talks(victim, running.port))
            at_work = await stop(running, victim)
            await replaced(running, victim, 2)
        running.process.terminate()
        _, told = running.process.communicate(timeout=PATIENCE_S)
    assert running.process.returncode == 0
    assert "gave no sign of life" in told
    assert all(set(each.statuses) == {200} for each in found), [each.first for each in found]
    lost = sum(each.lost for each in found)
    assert 0 < lost <= at_work
    requests = sum(each.requests for each in found)
    figure("Crash: a worker hangs", hung=1, requests=requests, lost=lost, wrong=0)


async def test_workers_that_were_asleep_with_the_whole_machine_are_not_killed(root: Path) -> None:
    """The process above is woken first, and looks before any worker can give a sign."""
    with server(root, **IMPATIENT) as running:
        workers, above = running.workers, running.process.pid
        os.killpg(above, signal.SIGSTOP)
        since = time.monotonic()
        await until(lambda: passed(since + SILENCE_S + 1))
        os.kill(above, signal.SIGCONT)
        turns = sleeps(above) + 2
        await until(lambda: slept(above, turns))
        os.killpg(above, signal.SIGCONT)
        async with asked(running, [REQUEST] * 4) as found:
            await until(lambda: slept(above, turns + 2))
        assert running.workers == workers
        running.process.terminate()
        _, told = running.process.communicate(timeout=PATIENCE_S)
    assert running.process.returncode == 0
    assert told == ""
    assert {status for each in found for status in each.statuses} == {200}
    assert sum(each.lost for each in found) == 0


async def talks(pid: int, port: int) -> bool:
    return connections(pid, port) > 2  # one of them at least is a client that stays


async def passed(moment: float) -> bool:
    return time.monotonic() >= moment


async def slept(pid: int, times: int) -> bool:
    return sleeps(pid) >= times


def sleeps(pid: int) -> int:
    """Return how often a process has waited for something: here, for its next look."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
