"""All rounds of a server in a scenario in words: sums of counts, medians of other numbers."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.faults.roads import HUNG, LOST, RIGHT
from benchmarks.faults.rows import Row

NOTHING = "-"
OK = "200"
MS = 1e3
Counted = Mapping[str, Any]
Words = Callable[[Sequence[Counted]], str]


def words(rows: Sequence[Row], tell: Words) -> str:
    """What all rounds of one server in one scenario come to.

    Args:
        rows: Of them; none if it was not played.
        tell: One of the functions below.
    """
    if not rows:
        return NOTHING
    failures = [row.failure for row in rows if row.failure]
    return failures[0] if failures else tell([row.counts for row in rows])


def unanswered(rounds: Sequence[Counted]) -> str:
    """Of those that should have been answered, how many were not, how, and what came after."""
    found = _summed(rounds, "words")
    total = found.total()
    told = f"{total - found[RIGHT]:,} of {total:,}"
    if why := [f"{count:,} {word}" for word, count in found.items() if word != RIGHT]:
        told += f" ({', '.join(why)})"
    answered, probes = _sum(rounds, "afterwards"), _sum(rounds, "probes")
    return told if answered == probes else f"{told}; then {answered} of {probes} are answered"


def run_in_vain(rounds: Sequence[Counted]) -> str:
    """Which part of the work was done for those who had hung up."""
    return f"{max(0.0, median(one['run'] for one in rounds)):.0%}"


def goodput(rounds: Sequence[Counted]) -> str:
    """Answers in time a second, over those at the peak."""
    return f"{median(one['goodput'] / one['peak'] for one in rounds):.0%}"


def peak(rounds: Sequence[Counted]) -> str:
    """Answers a second of a closed loop."""
    return f"{median(one['peak'] for one in rounds):.0f}"


def slowest(rounds: Sequence[Counted]) -> str:
    """The 99th percentile of the answers, in seconds."""
    known = [one["p99_s"] for one in rounds if one["p99_s"] is not None]
    return f"{median(known):.1f}" if known else NOTHING


def refused(rounds: Sequence[Counted]) -> str:
    """Which part was refused, by status; one that says when to come again has a clock."""
    statuses = _summed(rounds, "statuses")
    total = _sum(rounds, "requests")
    when = {status for one in rounds for status in one["retry_after"]}
    told = [
        f"{count / total:.0%} {status}{' with Retry-After' if status in when else ''}"
        for status, count in sorted(statuses.items())
        if status != OK
    ]
    return ", ".join(told) or "none"


def late(rounds: Sequence[Counted]) -> str:
    """Which part was answered too late, or not until the client hung up, or cut off."""
    total = _sum(rounds, "requests")
    return ", ".join(f"{_sum(rounds, kind) / total:.0%}" for kind in ("late", "hung", "lost"))


def health(rounds: Sequence[Counted]) -> str:
    """How long the answer about the health took, in milliseconds: the median and the 99th."""
    told = []
    for name in ("health_p50_ms", "health_p99_ms"):
        known = [one[name] for one in rounds if one[name] is not None]
        told.append(f"{median(known):,.0f}" if known else NOTHING)
    failed = _failed(_summed(rounds, "health")) + _sum(rounds, "health_lost")
    return ", ".join(told) + (f"; {failed} failed" if failed else "")


def memory(rounds: Sequence[Counted]) -> str:
    """Megabytes before, and at most in the overload."""
    before = median(one["memory_before_mb"] for one in rounds)
    return f"{before:,.0f} → {median(one['memory_most_mb'] for one in rounds):,.0f}"


def not_answered(rounds: Sequence[Counted]) -> str:
    """Of a server whose worker was killed: requests without an answer or with another one."""
    statuses = _summed(rounds, "statuses")
    found = {LOST: _sum(rounds, "lost"), HUNG: _sum(rounds, "hung")}
    found |= {status: count for status, count in sorted(statuses.items()) if status != OK}
    told = [f"{count:,} {word}" for word, count in found.items() if count]
    return ", ".join(told) or "0"


def full_again(rounds: Sequence[Counted]) -> str:
    """Seconds from a worker's death to full capacity, or that it never came."""
    back = [one["back_s"] for one in rounds if one["back_s"] is not None]
    told = f"{median(back):.1f}" if back else "never"
    if ended := sum(one["ended"] for one in rounds):
        return f"the server ended in {ended} of {len(rounds)}"
    missing = len(rounds) - len(back)
    return f"{told}, not in {missing} of {len(rounds)}" if back and missing else told


def _sum(rounds: Sequence[Counted], name: str) -> int:
    return sum(one[name] for one in rounds)


def _summed(rounds: Sequence[Counted], name: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in rounds:
        found.update(one[name])
    return found


def _failed(statuses: Counter[str]) -> int:
    return statuses.total() - statuses[OK]
