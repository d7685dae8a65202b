"""Clients hang up while their requests wait for a run, among others who stay.

Are those answered? And is the run of a request done that nobody waits for? The latter is told by
the processor time of the server: of bursts without the guests, with guests who hang up, and with
guests who stay.
"""

from benchmarks.faults.bursts import MATES, Met, burst
from benchmarks.faults.roads import Ask
from benchmarks.faults.target import PROBES, Counts, Target, afterwards, quiet


async def over_http(target: Target) -> Counts:
    """Play it over HTTP."""
    return await _play(target, target.ask)


async def over_grpc(target: Target) -> Counts:
    """Play it over gRPC, whose calls end at the server when a client cancels them."""
    if target.ask_grpc is None:
        return {"none": "no gRPC"}
    return await _play(target, target.ask_grpc)


async def _play(target: Target, ask: Ask) -> Counts:
    await burst(ask, target.samples, [], Met())  # what is done only once is done
    await quiet(target.running)
    alone = await _cpu_s(target, ask, 0, Met())
    stayed = Met()
    with_all = await _cpu_s(target, ask, MATES, stayed)
    gone = Met()
    with_gone = await _cpu_s(target, ask, MATES, gone, cancel=True)
    return {
        "good": gone.good.total(),
        "words": dict(gone.good),
        "undisturbed": dict(stayed.good),
        "cancelled": gone.gone,
        "cpu_alone_s": alone,
        "cpu_stayed_s": with_all,
        "cpu_gone_s": with_gone,
        "run": share(alone, with_all, with_gone),
        "afterwards": await afterwards(target, ask),
        "probes": PROBES,
    }


async def _cpu_s(target: Target, ask: Ask, guests: int, met: Met, *, cancel: bool = False) -> float:
    """Processor time of the bursts with so many guests, until nothing of them is left."""
    before = target.running.cpu_s()
    for _ in range(target.effort.bursts):
        await burst(ask, target.samples, target.turns(guests), met, cancel=cancel)
    await quiet(target.running)
    return target.running.cpu_s() - before


def share(alone: float, stayed: float, gone: float) -> float:
    """The part of the guests' work that was done though they had hung up.

    Args:
        alone: Processor time without guests.
        stayed: With guests who wait for their answers.
        gone: With guests who hang up.
    """
    return (gone - alone) / (stayed - alone)
