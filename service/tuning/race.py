"""Successive halving: every plan a short while, the best longer, the last few in rounds.

Machines drift: what is compared in the end was measured in turns, and the median counts.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from service.tuning.candidates import Candidate, Measurement, NotMeasured

FINALISTS = 3

# Enough to put the plans that are far behind out of the race.
_SHORT = 1 / 3

# Of the time that is left, for each turn before the last: with many plans and little time some
# are not tried at all, so that the last few are still compared well.
_SHARE = 1 / 2

Measure = Callable[[Candidate, float], Measurement]
"""Measures a plan for so many seconds; raises ``NotMeasured``."""


@dataclass
class Record:
    """What is known of one plan.

    Args:
        candidate: the plan.
        short: what was measured in the short first round, where there is one.
        full: what was measured for the full time.
        failure: why it is out of the race.
        standing: whether it is among the last.
    """

    candidate: Candidate
    short: list[Measurement] = field(default_factory=list)
    full: list[Measurement] = field(default_factory=list)
    failure: str | None = None
    standing: bool = False

    @property
    def rounds(self) -> list[Measurement]:
        """The measurements that count: the full ones, if there are any."""
        return self.full or self.short

    @property
    def result(self) -> Measurement:
        """The medians, each figure for itself.

        Raises:
            ValueError: nothing was measured.
        """
        rounds = self.rounds
        return Measurement(
            throughput=median(each.throughput for each in rounds),
            p50_ms=median(each.p50_ms for each in rounds),
            p99_ms=median(each.p99_ms for each in rounds),
            alone_ms=_median([each.alone_ms for each in rounds]),
            memory_mb=_median([each.memory_mb for each in rounds]),
            generator_busy=median(each.generator_busy for each in rounds),
        )


@dataclass(frozen=True)
class Limits:
    """How long a race may take and what it is about.

    Args:
        seconds: of one full measurement under load.
        rounds: of full measurements of the last few.
        budget_s: of the whole race; what would go on longer is not begun.
        p99_ms: the bound of the race; None without one.
    """

    seconds: float
    rounds: int
    budget_s: float
    p99_ms: float | None = None

    def order(self, record: Record) -> tuple[bool, float]:
        """Return the key that sorts the best first: within the bound, then by throughput."""
        result = record.result
        if self.p99_ms is not None and result.p99_ms > self.p99_ms:
            return True, result.p99_ms
        return False, -result.throughput


def race(
    plans: Sequence[Candidate],
    measure: Measure,
    limits: Limits,
    clock: Callable[[], float] = time.monotonic,
) -> list[Record]:
    """Measure plans and put those far behind out of the race.

    Args:
        plans: in the order to try them.
        measure: one plan.
        limits: of time, and the bound.
        clock: in seconds.

    Returns:
        A record of each plan in the given order; of some nothing was measured where the
        budget did not last.
    """
    records = [Record(plan) for plan in plans]
    _Race(measure, limits, clock).run(records)
    return records


class _Race:
    """The time that is left, and what it is spent on."""

    def __init__(self, measure: Measure, limits: Limits, clock: Callable[[], float]) -> None:
        self._measure = measure
        self._limits = limits
        self._clock = clock
        self._ends = clock() + limits.budget_s
        self._overhead = 0.0  # of the last measurement: a start, an end, a warm-up

    def run(self, records: list[Record]) -> None:
        standing = list(records)
        if len(records) > FINALISTS:
            self._once(records, self._limits.seconds * _SHORT, _SHARE)
            standing = self._keep(records)
        while len(standing) > FINALISTS:
            self._once(standing, self._limits.seconds, _SHARE)
            standing = self._keep(standing)
        for number in range(self._limits.rounds):
            # Back and forth: who comes first would meet the same neighbour each time.
            self._once(standing[:: -1 if number % 2 else 1], self._limits.seconds, 1.0)
        for record in standing:
            record.standing = record.failure is None and bool(record.rounds)

    def _once(self, records: Sequence[Record], seconds: float, share: float) -> None:
        """Measure each, as long as a share of the time that is left lasts."""
        now = self._clock()
        ends = now + share * (self._ends - now)
        for record in records:
            if record.failure is None and self._clock() + seconds + self._overhead <= ends:
                self._add(record, seconds)

    def _add(self, record: Record, seconds: float) -> None:
        """Measure one, or learn why it cannot be."""
        began = self._clock()
        rounds = record.full if seconds == self._limits.seconds else record.short
        try:
            rounds.append(self._measure(record.candidate, seconds))
        except NotMeasured as reason:
            record.failure = str(reason)
        else:
            self._overhead = self._clock() - began - seconds

    def _keep(self, records: Sequence[Record]) -> list[Record]:
        """Return the better half, the best first; under a bound also who is farthest below it."""
        ranked = [each for each in records if each.failure is None and each.rounds]
        ranked.sort(key=self._limits.order)
        kept = ranked[: max(FINALISTS, (len(ranked) + 1) // 2)]
        if self._limits.p99_ms is not None and kept:
            # Those with the most throughput may all turn out to be just above the bound.
            safest = min(ranked, key=lambda each: each.result.p99_ms)
            kept = kept if safest in kept else [*kept[:-1], safest]
        return kept


def _median(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return median(known) if known else None
