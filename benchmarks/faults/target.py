"""A running server, as the scenarios see it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.faults.roads import RIGHT, Ask
from benchmarks.serving.processes import Running
from benchmarks.serving.samples import Sample

Counts = Mapping[str, object]
"""What a scenario found, as JSON has it."""

PROBES = 8  # requests one after the other, when all is over
POLL_S = 0.5
QUIET = 0.3  # of one processor: who computes takes all of one, who only waits a tenth
QUIET_LIMIT_S = 30.0


@dataclass(frozen=True)
class Effort:
    """How much is done to a server in a round.

    Attributes:
        bursts: Of requests that meet.
        seconds: Of the overload, and from the death of a worker on.
        peak_s: Seconds in which the capacity is measured, and before a worker dies.
    """

    bursts: int = 4
    seconds: float = 12.0
    peak_s: float = 4.0


@dataclass(frozen=True)
class Target:
    """A server that answers.

    Attributes:
        running: Its processes.
        port: Where it listens.
        samples: What it is asked, and the right answers.
        requests: The same as they go over the wire of HTTP.
        health: The request for its health, likewise.
        ask: Over HTTP.
        ask_grpc: Over gRPC; None where it has none.
        effort: How much is done to it.
    """

    running: Running
    port: int
    samples: Sequence[Sample]
    requests: Sequence[bytes]
    health: bytes
    ask: Ask
    ask_grpc: Ask | None
    effort: Effort

    def turns(self, count: int) -> list[Sample]:
        """So many of the samples, in turns."""
        return [self.samples[index % len(self.samples)] for index in range(count)]


async def afterwards(target: Target, ask: Ask) -> int:
    """How many of `PROBES` requests a server answers rightly."""
    return sum([await ask(sample) == RIGHT for sample in target.turns(PROBES)])


async def quiet(running: Running) -> None:
    """Wait until a server computes nothing, for `QUIET_LIMIT_S` at most."""
    for _ in range(round(QUIET_LIMIT_S / POLL_S)):
        before = running.cpu_s()
        await asyncio.sleep(POLL_S)
        if running.cpu_s() - before < QUIET * POLL_S:
            return
