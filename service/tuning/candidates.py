"""Which plans are tried, and what a measurement of one says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from service.errors import FoldserveError


class NotMeasured(FoldserveError):  # noqa: N818 -- named by what is wrong, as its siblings are
    """A plan is out of the race; the message says why in one line."""


@dataclass(frozen=True)
class Candidate:
    """One plan.

    Args:
        version: of the model.
        precision: of that version: "fp32", "fp16" or "int8", or "-" where nothing states it.
        workers: processes.
        threads: of one run.
        max_batch_size: rows of one run.
    """

    version: str
    precision: str
    workers: int
    threads: int
    max_batch_size: int

    def __str__(self) -> str:
        return (
            f"workers {self.workers}, threads {self.threads}, max_batch_size"
            f" {self.max_batch_size}, version {self.version} ({self.precision})"
        )


@dataclass(frozen=True)
class Measurement:
    """What one plan did under load.

    Args:
        throughput: requests answered in a second.
        p50_ms: the median latency.
        p99_ms: the latency that 99 of 100 requests kept below.
        alone_ms: the median latency of one client alone; None if it got no answer in time.
        memory_mb: of all processes, what they share counted once; None where the system
            does not say.
        generator_busy: the share of one processor that the load itself took.
    """

    throughput: float
    p50_ms: float
    p99_ms: float
    alone_ms: float | None
    memory_mb: float | None
    generator_busy: float = 0.0


def candidates(
    versions: Iterable[tuple[str, str]],
    cpus: int,
    *,
    workers: Sequence[int] = (),
    threads: Sequence[int] = (),
    max_batch_sizes: Sequence[int],
) -> list[Candidate]:
    """Return the plans to try; those that use most of the processors first.

    Args:
        versions: number and precision of each.
        cpus: that may be used.
        workers: counts to try; by default the powers of two up to ``cpus``, and ``cpus``.
        threads: the same of the threads of a run. A default count leaves none without a
            processor; what is stated is tried in any case, at least with one of the other.
        max_batch_sizes: to try.
    """
    pairs = [
        (count, each)
        for count, each in product(workers or _counts(cpus), threads or _counts(cpus))
        if count * each <= cpus or ((workers or count == 1) and (threads or each == 1))
    ]
    pairs.sort(key=lambda pair: -pair[0] * pair[1])
    # A budget may end before the list does: every version and batch size of a pair comes early.
    return [
        Candidate(version, precision, *pair, size)
        for pair in pairs
        for size in sorted(set(max_batch_sizes), reverse=True)
        for version, precision in versions
    ]


def _counts(cpus: int) -> list[int]:
    """Return the powers of two up to a number, and the number."""
    return sorted({cpus, *(2**n for n in range(cpus.bit_length()))})
