"""Which plan is the best under the bound, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.tuning.race import Record

# Between two measurements of one plan lies as much on a quiet machine.
_NOISE = 0.03

# Memory that differs by less is no reason to give up throughput.
_SAME_MEMORY = 0.05


@dataclass(frozen=True)
class Choice:
    """The outcome.

    Args:
        best: the plan to serve with; None if there is none within the bound.
        reason: one sentence.
    """

    best: Record | None
    reason: str


def choose(records: Sequence[Record], p99_ms: float | None = None) -> Choice:
    """Return the plan of the highest throughput within the bound.

    Of plans that are as fast but for noise, it is one that needs the least memory.

    Args:
        records: of a race.
        p99_ms: the bound; None without one.
    """
    standing = [record for record in records if record.standing]
    if not standing:
        return Choice(None, "No plan could be measured.")
    within = [each for each in standing if p99_ms is None or each.result.p99_ms <= p99_ms]
    if not within:
        closest = min(standing, key=lambda record: record.result.p99_ms)
        return Choice(
            None,
            f"No plan keeps p99 within {p99_ms:g} ms. The closest, with"
            f" {closest.result.p99_ms:.2f} ms: {closest.candidate}.",
        )
    fastest = max(within, key=_throughput)
    best = _leanest([each for each in within if _is_as_fast(each, fastest)])
    return Choice(best, _reason(best, fastest, p99_ms))


def _throughput(record: Record) -> float:
    return record.result.throughput


def _is_as_fast(record: Record, fastest: Record) -> bool:
    return _throughput(record) >= (1 - _NOISE) * _throughput(fastest)


def _leanest(records: Sequence[Record]) -> Record:
    """Return the fastest of those that need the least memory, but for small differences."""
    least = min(_memory(record) for record in records)
    lean = [each for each in records if _memory(each) <= (1 + _SAME_MEMORY) * least]
    return max(lean, key=_throughput)


def _memory(record: Record) -> float:
    """Return MB; the same for all where the system does not say."""
    return record.result.memory_mb or 0.0


def _reason(best: Record, fastest: Record, p99_ms: float | None) -> str:
    bound = "" if p99_ms is None else f" with p99 within {p99_ms:g} ms"
    if best is fastest:
        why = f"the highest throughput{bound}"
    else:  # as fast, and not the same: then for its memory
        share = 1 - _throughput(best) / _throughput(fastest)
        why = f"{share:.1%} below the highest throughput{bound}, which needs more memory"
    return f"Best: {best.candidate}: {why}."
