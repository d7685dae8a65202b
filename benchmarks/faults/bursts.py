"""Requests that meet: some keep every worker busy, the others arrive together behind them."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.faults.roads import Ask
from benchmarks.serving.samples import Sample

# Of some 20 ms a row: though each of two workers may begin with a small batch, its next one is of
# these alone, and the guests wait for at least 0.3 s.
BLOCKERS = 64
MATES = 16
HEAD_START_S = 0.04  # of the blockers: all of them are there
# The slowest of the servers has taken in the guests by then, and none of these is in a run.
SETTLE_S = 0.12


@dataclass
class Met:
    """What became of the requests of some bursts.

    Attributes:
        good: The words for those that should be answered.
        guests: The words for those among them that did not hang up before.
        gone: How many hung up.
    """

    good: Counter[str] = field(default_factory=Counter)
    guests: Counter[str] = field(default_factory=Counter)
    gone: int = 0


async def burst(
    ask: Ask,
    samples: Sequence[Sample],
    guests: Sequence[Sample],
    met: Met,
    *,
    cancel: bool = False,
) -> None:
    """Let guests wait among requests that should be answered.

    Args:
        ask: How.
        samples: What is asked by all but the guests, in turns.
        guests: What is asked by these, each behind one of the others; at most `MATES`.
        met: Is told what came.
        cancel: Whether the guests hang up while they wait.
    """
    turns = itertools.cycle(samples)
    good = [_begin(ask, next(turns)) for _ in range(BLOCKERS)]
    await asyncio.sleep(HEAD_START_S)
    among: list[asyncio.Task[str]] = []
    for index in range(MATES):
        good.append(_begin(ask, next(turns)))
        among += [_begin(ask, guest) for guest in guests[index : index + 1]]
    if cancel:
        await asyncio.sleep(SETTLE_S)
        met.gone += sum(task.cancel() for task in among)
    for word in await asyncio.gather(*good):
        met.good[word] += 1
    for told in await asyncio.gather(*among, return_exceptions=True):
        if isinstance(told, str):
            met.guests[told] += 1


def _begin(ask: Ask, sample: Sample) -> asyncio.Task[str]:
    async def asked() -> str:
        return await ask(sample)

    return asyncio.create_task(asked())
