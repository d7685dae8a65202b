"""One item makes the run of a batch fail: how many fail with it?"""

from benchmarks.faults.bursts import Met, burst
from benchmarks.faults.model import poisoned
from benchmarks.faults.target import PROBES, Counts, Target, afterwards
from benchmarks.serving.samples import Sample


async def play(target: Target) -> Counts:
    """Let one poisonous request wait among good ones, again and again."""
    first = target.samples[0]
    poison = Sample(poisoned(first.tensor), first.jpeg, first.logits)
    met = Met()
    for _ in range(target.effort.bursts):
        await burst(target.ask, target.samples, [poison], met)
    return {
        "good": met.good.total(),
        "words": dict(met.good),
        "poison": dict(met.guests),
        "afterwards": await afterwards(target, target.ask),
        "probes": PROBES,
    }
