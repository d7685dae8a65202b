"""Medians over rounds, and how this project's server compares in the same rounds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.serving import ceiling
from benchmarks.serving.calls import Format
from benchmarks.serving.rows import Row
from benchmarks.serving.servers import OURS


@dataclass(frozen=True)
class Line:
    """One server under one load, over all rounds.

    Attributes:
        server: Its name.
        version: Of its package.
        failure: Why it is not ranked, though it may have answered in some rounds.
        medians: Of the row's numbers, by their names; of measured rounds.
        spread: Half of what lies between the slowest and the fastest round, over the median.
        errors: Of all rounds.
        faster: How many times this server's rate ours is, the median of rounds.
        median_ratio: This server's median latency over ours, likewise.
        tail_ratio: The same of the 99th percentile.
    """

    server: str
    version: str
    failure: str | None
    medians: dict[str, float]
    spread: float | None
    errors: int
    faster: float | None
    median_ratio: float | None
    tail_ratio: float | None


@dataclass(frozen=True)
class Section:
    """One load on one model: a table of its own.

    Attributes:
        model: Its name.
        form: Of the requests.
        load: Clients of the closed loop, or "open".
        lines: The fastest first; then those that failed.
    """

    model: str
    form: str
    load: str
    lines: Sequence[Line]

    @property
    def title(self) -> str:
        """What stands above the table."""
        if self.load == "open":
            return f"{self.model}, {self.form}, open loop at half of each server's capacity"
        return f"{self.model}, {self.form}, {self.load} client{'s' * (self.load != '1')}"


NUMBERS = (
    *("rate", "asked_rate", "p50_ms", "p99_ms", "cpu_ms", "pss_mb", "rss_mb", "largest_mb"),
    *("processes", "start_s", "late_p99_ms"),
)
CEILING_OF: dict[str, Format] = {"json": "binary", "binary": "binary", "jpeg": "jpeg"}


def sections(rows: Sequence[Row]) -> list[Section]:
    """One section a load, in the order in which they were measured."""
    keys = dict.fromkeys(
        (row.model, row.form, row.load) for row in rows if row.load != ceiling.LOAD
    )
    return [_section(rows, *key) for key in keys]


def _section(rows: Sequence[Row], model: str, form: str, load: str) -> Section:
    own = [row for row in rows if (row.model, row.form, row.load) == (model, form, load)]
    if load not in ("open", "1"):  # two threads in a loop are no match for these
        own += [
            row
            for row in rows
            if (row.model, row.form, row.load) == (model, CEILING_OF[form], ceiling.LOAD)
        ]
    ours = {row.round: row for row in own if row.server == OURS and row.failure is None}
    names = dict.fromkeys(row.server for row in own)
    lines = [_line([row for row in own if row.server == name], ours) for name in names]
    return Section(model, form, load, sorted(lines, key=_rank))


def _rank(line: Line) -> tuple[bool, float]:
    return line.failure is not None, -line.medians.get("rate", 0.0)


def _line(rows: Sequence[Row], ours: dict[int, Row]) -> Line:
    done = [row for row in rows if row.failure is None and row.requests]
    failures = [row.failure or "nothing was answered" for row in rows if row not in done]
    rates = [row.rate for row in done if row.rate]
    medians = {name: value for name in NUMBERS if (value := _median(done, name)) is not None}
    return Line(
        server=rows[0].server,
        version=rows[0].version,
        failure=failures[0] if failures else None,
        medians=medians,
        spread=(max(rates) - min(rates)) / 2 / median(rates) if rates else None,
        errors=sum(row.errors for row in rows),
        faster=_ratio(done, ours, lambda row: row.rate, inverted=True),
        median_ratio=_ratio(done, ours, lambda row: row.p50_ms),
        tail_ratio=_ratio(done, ours, lambda row: row.p99_ms),
    )


def _median(rows: Sequence[Row], name: str) -> float | None:
    values = [value for row in rows if (value := getattr(row, name)) is not None]
    return median(values) if values else None


def _ratio(
    rows: Sequence[Row],
    ours: dict[int, Row],
    number: Callable[[Row], float | None],
    *,
    inverted: bool = False,
) -> float | None:
    """The median over rounds of a server's number over ours of the same round."""
    ratios = list(_ratios(rows, ours, number))
    if not ratios:
        return None
    return median(1 / one for one in ratios) if inverted else median(ratios)


def _ratios(
    rows: Sequence[Row], ours: dict[int, Row], number: Callable[[Row], float | None]
) -> Iterator[float]:
    for row in rows:
        theirs = number(row)
        own = number(ours[row.round]) if row.round in ours else None
        if theirs and own:
            yield theirs / own
