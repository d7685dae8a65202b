"""No process outlives the block that started it."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.tuning.children import Child, child, ended_by_signals, members
from tests.service.servers import PATIENCE_S

STUBBORN = "tests.service.tuning.stubborn"
DUTIFUL = "service.tuning.load"  # waits for its orders
ENVIRONMENT = {"PATH": os.defpath}


def two_pids(process: Child) -> list[int]:
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ in range(2)]


def runs(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped by another does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def assert_gone(pids: Sequence[int]) -> None:
    """Wait for the kernel to be done with processes that were killed."""
    ends = time.monotonic() + PATIENCE_S
    while any(map(runs, pids)):
        assert time.monotonic() < ends


def test_a_child_and_its_own_children_are_killed_if_they_do_not_end() -> None:
    with child(STUBBORN, ENVIRONMENT, errors=subprocess.DEVNULL, patience_s=0.1) as process:
        pids = two_pids(process)
        assert sorted(members(process.pid)) == sorted(pids)
    assert process.returncode == -signal.SIGKILL
    assert_gone(pids)


def test_a_child_that_ends_when_asked_is_not_killed() -> None:
    with child(DUTIFUL, ENVIRONMENT, errors=subprocess.DEVNULL) as process:
        assert process.poll() is None
    assert process.returncode == -signal.SIGTERM


def test_a_child_that_has_ended_is_left_in_peace() -> None:
    with child("service.nothing", ENVIRONMENT, errors=subprocess.DEVNULL) as process:
        process.communicate()
        assert members(process.pid) == []
    assert process.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_block_ends_its_child(number: signal.Signals) -> None:
    pids: list[int] = []

    def work() -> None:
        with child(STUBBORN, ENVIRONMENT, errors=subprocess.DEVNULL, patience_s=0.1) as process:
            pids.extend(two_pids(process))
            signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt), ended_by_signals():
        work()
    assert len(pids) == 2
    assert_gone(pids)


def test_an_interrupt_while_a_child_begins_is_put_off_until_it_can_be_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[Child] = []
    begin = subprocess.Popen

    def interrupted(*args: object, **options: object) -> Child:
        begun.append(begin(*args, **options))  # type: ignore[call-overload]  # as given
        signal.raise_signal(signal.SIGINT)
        return begun[0]

    monkeypatch.setattr("subprocess.Popen", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        child(DUTIFUL, ENVIRONMENT, errors=subprocess.DEVNULL),
    ):
        pytest.fail("the block is not entered")
    assert begun[0].returncode == -signal.SIGTERM


def test_afterwards_signals_mean_what_they_meant() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    with ended_by_signals(), child(DUTIFUL, ENVIRONMENT, errors=subprocess.DEVNULL):
        pass
    assert [signal.getsignal(number) for number in numbers] == before
