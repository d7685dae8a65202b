"""The plan of processes and threads: as many as the processors, none more than once.

    processors   workers x runners x intra-op threads
    decoding     in threads beside them, about as many as the processors in all workers together

Small models gain from workers, since Python holds one processor in each of them; a large
model's run gains as much from a worker more as from a thread more, and several rows at once
are in flight.
"""

import os
from dataclasses import dataclass

from service.environment import variable
from service.errors import StartError
from service.machine.cpus import Cpus, usable_cpus
from service.settings import Settings

# Each worker holds its own copy of every model. Four fill a common machine; who has more
# processors and small models chooses more.
_MOST_WORKERS = 4


@dataclass(frozen=True)
class Plan:
    """How many processes and threads serve.

    Args:
        workers: processes that share the port.
        intra_op_threads: of one run.
        decode_threads: of one worker.
        runners: runs of one model at once in one worker.
        reason: the plan and why, in one line.
    """

    workers: int
    intra_op_threads: int
    decode_threads: int
    runners: int
    reason: str


def plan(settings: Settings, cpus: Cpus | None = None) -> Plan:
    """Return the plan; what the operator chose stays.

    Args:
        settings: the operator's.
        cpus: that may be used; by default what this process may.

    Raises:
        StartError: several workers where the system cannot fork.
    """
    cpus = usable_cpus() if cpus is None else cpus
    workers = settings.workers or _workers(settings, cpus.count)
    if workers > 1 and not hasattr(os, "fork"):
        raise StartError(f"{variable('workers')}={workers}: this system has no fork; set it to 1")
    share = max(1, cpus.count // workers)
    runners = settings.runners or 1
    threads = settings.intra_op_threads or max(1, share // runners)
    return Plan(
        workers,
        threads,
        settings.decode_threads or share,
        runners,
        f"{_number(workers, 'worker')} x {_number(threads, 'thread')}: {_why(settings, cpus)}",
    )


def plan_alone(settings: Settings) -> Plan:
    """Return the plan of one process that nobody shares the processors with."""
    return plan(settings.model_copy(update={"workers": 1}))


def _workers(settings: Settings, cpus: int) -> int:
    """Return how many workers of the chosen threads the processors can carry."""
    if settings.provider != "cpu" or not hasattr(os, "fork"):
        return 1
    threads = (settings.intra_op_threads or 1) * (settings.runners or 1)
    return max(1, min(cpus // threads, _MOST_WORKERS))


def _why(settings: Settings, cpus: Cpus) -> str:
    parts = [_number(cpus.count, "CPU") + (f" by {cpus.reason}" if cpus.reason else "")]
    if settings.provider != "cpu" and settings.workers is None:
        parts.append(f"one worker holds {settings.provider}")
    fields = ("workers", "runners", "intra_op_threads", "decode_threads")
    parts += [f"{variable(name)}={n}" for name in fields if (n := getattr(settings, name))]
    return ", ".join(parts)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
