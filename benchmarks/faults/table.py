"""What was found, as tables of Markdown."""

from collections.abc import Sequence

from benchmarks.faults import summary
from benchmarks.faults.rows import Row
from benchmarks.faults.servers import BY_SUBJECT
from benchmarks.faults.summary import Words
from benchmarks.serving.table import as_markdown

# Each column: its head, the scenario, and what is told of it.
Column = tuple[str, str, Words]
FAULTS: Sequence[Column] = (
    ("hung up: mates not answered", "cancelled", summary.unanswered),
    ("run in vain", "cancelled", summary.run_in_vain),
    ("the same over gRPC", "cancelled-grpc", summary.unanswered),
    ("run in vain", "cancelled-grpc", summary.run_in_vain),
    ("poison: good ones that failed", "poison", summary.unanswered),
    ("worker killed: not answered", "killed", summary.not_answered),
    ("full capacity after, s", "killed", summary.full_again),
)
OVERLOAD: Sequence[Column] = (
    ("peak, requests/s", "overload", summary.peak),
    ("in time, of the peak", "overload", summary.goodput),
    ("p99, s", "overload", summary.slowest),
    ("refused", "overload", summary.refused),
    ("late, hung, lost", "overload", summary.late),
    ("health p50, p99, ms", "overload", summary.health),
    ("memory, MB", "overload", summary.memory),
)
LACKS = "without"


def text(rows: Sequence[Row]) -> str:
    """The tables, of the scenarios that were played."""
    played = {row.scenario for row in rows}
    tables = [
        [column for column in columns if column[1] in played] for columns in (FAULTS, OVERLOAD)
    ]
    return "\n\n".join(as_markdown(_lines(rows, columns)) for columns in tables if columns)


def _lines(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[str]]:
    head = ["server", "version", *(name for name, _, _ in columns), LACKS]
    lines = [head]
    for server, version in dict.fromkeys((row.server, row.version) for row in rows):
        cells = [
            summary.words(
                [row for row in rows if (row.server, row.scenario) == (server, scenario)], tell
            )
            for _, scenario, tell in columns
        ]
        lines.append([server, version, *cells, BY_SUBJECT[server].without or summary.NOTHING])
    return lines
