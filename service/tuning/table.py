"""The table of what was measured, the best first."""

from collections.abc import Callable, Sequence

from service.tuning.race import Record

_COLUMNS: tuple[tuple[str, Callable[[Record], str]], ...] = (
    ("version", lambda record: record.candidate.version),
    ("precision", lambda record: record.candidate.precision),
    ("workers", lambda record: str(record.candidate.workers)),
    ("threads", lambda record: str(record.candidate.threads)),
    ("max_batch_size", lambda record: str(record.candidate.max_batch_size)),
    ("req/s", lambda record: f"{record.result.throughput:,.0f}"),
    ("p50 ms", lambda record: f"{record.result.p50_ms:.2f}"),
    ("p99 ms", lambda record: f"{record.result.p99_ms:.2f}"),
    ("one client p50", lambda record: _known(record.result.alone_ms, ".2f")),
    ("memory MB", lambda record: _known(record.result.memory_mb, ".0f")),
    ("rounds", lambda record: str(len(record.full)) if record.full else "short"),
)


def table(
    records: Sequence[Record],
    order: Callable[[Record], tuple[bool, float]],
    best: Record | None,
) -> list[str]:
    """Return the lines of the table; below it what was not measured, and why.

    Args:
        records: of a race.
        order: the key that sorts the best first.
        best: the record that is marked.
    """
    measured = [each for each in records if each.rounds and each.failure is None]
    # The last few were measured longest; what was put out early is below, whatever it seemed.
    measured.sort(key=lambda each: (not each.standing, order(each)))
    rows = [[name for name, _ in _COLUMNS]]
    rows += [[cell(record) for _, cell in _COLUMNS] for record in measured]
    marks = ["", *("best" if record is best else "" for record in measured)]
    lines = [f"{line}  {mark}".rstrip() for line, mark in zip(_aligned(rows), marks, strict=True)]
    failed = [f"Out: {each.candidate}: {each.failure}." for each in records if each.failure]
    left = sum(not each.rounds and each.failure is None for each in records)
    return (
        lines
        + failed
        + ([f"Not measured, as the time was over: {left} of {len(records)} plans."] if left else [])
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _known(figure: float | None, form: str) -> str:
    return "-" if figure is None else format(figure, form)
