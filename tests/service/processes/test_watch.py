"""Which workers hang, told from their signs of life."""

import pytest

from service.processes.watch import Watch
from service.telemetry.board import Board

PATIENCE_S = 60.0


class Machine:
    """Workers that give signs of life or do not, and a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.board = Board(2)
        self.watch = Watch(self.board.slots, PATIENCE_S, lambda: self.now)
        for number in range(2):
            self.watch.begin(number)

    def go_on(self, seconds: float, *alive: int) -> list[int]:
        """Look each second, as these workers live and the others do not; return who hangs."""
        silent: list[int] = []
        for _ in range(round(seconds)):
            self.now += 1
            for number in alive:
                self.board.slots[number].beat()
            silent = self.watch.silent()
        return silent


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_worker_that_lives_does_not_hang(machine: Machine) -> None:
    assert machine.go_on(10 * PATIENCE_S, 0, 1) == []


def test_a_worker_that_is_silent_for_as_long_as_was_set_hangs(machine: Machine) -> None:
    assert machine.go_on(10, 0, 1) == []
    assert machine.go_on(PATIENCE_S - 1, 0) == []
    assert machine.go_on(1, 0) == [1]


def test_a_worker_hangs_too_that_never_gave_a_sign(machine: Machine) -> None:
    assert machine.go_on(PATIENCE_S, 1) == [0]


def test_of_a_worker_that_is_gone_nothing_is_expected(machine: Machine) -> None:
    machine.watch.end(0)
    assert machine.go_on(10 * PATIENCE_S, 1) == []


def test_a_successor_has_all_of_the_time(machine: Machine) -> None:
    assert machine.go_on(PATIENCE_S, 0) == [1]
    machine.watch.end(1)
    machine.watch.begin(1)
    assert machine.go_on(PATIENCE_S - 1, 0) == []
    assert machine.go_on(1, 0) == [1]


def test_time_in_which_nobody_looked_is_no_silence(machine: Machine) -> None:
    """A laptop was shut, or the process above was stopped, alone or with its workers."""
    machine.now += 3600
    assert machine.watch.silent() == []
    assert machine.go_on(PATIENCE_S - 1, 0) == []
    assert machine.go_on(1, 0) == [1]


@pytest.mark.parametrize("absent_s", [1.0, 19.0, 21.0, 59.0])
def test_workers_that_were_held_up_with_who_looks_have_time_for_a_sign(
    machine: Machine, absent_s: float
) -> None:
    assert machine.go_on(10, 0, 1) == []
    machine.now += absent_s
    assert machine.watch.silent() == []
    assert machine.go_on(PATIENCE_S / 2, 0, 1) == []
