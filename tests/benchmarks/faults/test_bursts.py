import asyncio

import pytest

from benchmarks.faults.bursts import BLOCKERS, MATES, Met, burst
from benchmarks.faults.cancelled import share
from benchmarks.faults.roads import RIGHT
from benchmarks.serving.samples import Sample
from tests.benchmarks.faults.samples import sample

pytestmark = pytest.mark.anyio

GUEST = 7.0  # in the inputs of guests


class Server:
    """Answers when all have come or gone that it waits for."""

    def __init__(self, waits_for: int) -> None:
        self.came: list[float] = []
        self.gone = 0
        self._left = waits_for
        self._open = asyncio.Event()

    async def ask(self, asked: Sample) -> str:
        number = float(asked.tensor.max())
        self.came.append(number)
        self._count()
        try:
            await self._open.wait()
        except asyncio.CancelledError:
            self.gone += 1
            self._count()
            raise
        return "500" if number == GUEST else RIGHT

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self._open.set()


async def test_guests_come_among_the_others_and_behind_the_first():
    server, met = Server(BLOCKERS + MATES + 2), Met()
    await burst(server.ask, [sample()], [sample(GUEST)] * 2, met)
    assert met.good == {RIGHT: BLOCKERS + MATES}
    assert met.guests == {"500": 2}
    assert met.gone == 0
    assert server.came.index(GUEST) == BLOCKERS + 1
    assert server.came.count(GUEST) == 2


async def test_guests_who_hang_up_are_gone_and_the_others_are_counted():
    server, met = Server(BLOCKERS + 3 * MATES), Met()
    await burst(server.ask, [sample()], [sample(GUEST)] * MATES, met, cancel=True)
    assert met.good == {RIGHT: BLOCKERS + MATES}
    assert met.gone == server.gone == MATES
    assert met.guests == {}


async def test_a_guest_who_was_answered_before_is_not_gone():
    async def at_once(_: Sample) -> str:
        return RIGHT

    met = Met()
    await burst(at_once, [sample()], [sample(GUEST)] * MATES, met, cancel=True)
    assert met.gone == 0
    assert met.guests == {RIGHT: MATES}


async def test_several_bursts_add_up():
    async def at_once(asked: Sample) -> str:
        return "500" if asked.tensor.max() == 1 else RIGHT

    met = Met()
    for _ in range(3):
        await burst(at_once, [sample(0), sample(1)], [], met)
    assert met.good == {RIGHT: 3 * (BLOCKERS + MATES) // 2, "500": 3 * (BLOCKERS + MATES) // 2}


def test_the_share_of_the_work_in_vain_is_between_none_and_all():
    assert share(alone=2.0, stayed=3.0, gone=2.0) == 0
    assert share(alone=2.0, stayed=3.0, gone=2.25) == 0.25
    assert share(alone=2.0, stayed=3.0, gone=3.0) == 1
