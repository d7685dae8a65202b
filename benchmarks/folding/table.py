"""Rows as text: one table a model, then one over all models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean, median

from benchmarks.folding.comparison import UNFOLDED, Row

HEADER = ("tool", "BN", "affine", "clamp", "dw 1x1", "nodes", "valid", "error", "fold s", "latency")
TOTALS = (
    *("tool", "version", "models", "BN removed", "at zero", "affines", "new clamps", "new dw 1x1"),
    *("invalid", "failed", "error median", "worst x unfolded", "latency", "worst"),
)
# Below this share of the unfolded model's error no tool's rounding shows.
SMALLEST_ERROR = 1e-9


def per_model(rows: Sequence[Row]) -> str:
    """The table of one model; the first line is the unfolded one's. Complaints stand below."""
    complaints = [f"{row.tool}: {row.failure or row.invalid}" for row in rows if _failed(row)]
    return "\n".join([rows[0].model, aligned([HEADER, *map(_line, rows)]), *complaints])


def _failed(row: Row) -> bool:
    return row.failure is not None or row.invalid is not None


def totals(rows: Sequence[Row]) -> str:
    """One line a tool, over all models."""
    tools = dict.fromkeys(row.tool for row in rows if row.tool != UNFOLDED)
    baseline = {row.model: row for row in rows if row.tool == UNFOLDED}
    lines = [
        _total(tool, [(baseline[row.model], row) for row in rows if row.tool == tool])
        for tool in tools
    ]
    return aligned([TOTALS, *lines])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the first to the left and the rest to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown(text: str) -> str:
    """An aligned table as Markdown."""
    header, *lines = [line.split("  ") for line in text.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in [header, *lines]]
    rule = ["---", *["---:"] * (len(cells[0]) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [cells[0], rule, *cells[1:]])


def _line(row: Row) -> tuple[str, ...]:
    if row.counts is None:
        return (row.tool, *["-"] * 9)
    return (
        row.tool,
        *map(str, _numbers(row)),
        "no" if row.invalid else "yes",
        _number(row.error, ".1e"),
        _number(row.seconds, ".2f"),
        f"{row.ratio.median:.2f}±{row.ratio.margin:.2f}" if row.ratio else "-",
    )


def _numbers(row: Row) -> tuple[int, ...]:
    counts = row.counts
    if counts is None:  # pragma: no cover - the caller has looked
        return ()
    return counts.batch_norms, counts.affines, counts.clamps, counts.depthwise, counts.nodes


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


@dataclass(frozen=True)
class _Sums:
    """Over the models that a tool gave a result for."""

    before: int
    after: int
    at_zero: int
    affines: tuple[int, int]  # before and after
    new: tuple[int, int]  # clamps, depthwise convolutions


def _total(tool: str, pairs: Sequence[tuple[Row, Row]]) -> tuple[str, ...]:
    done = [(before, after) for before, after in pairs if after.counts is not None]
    sums = _sums(done)
    ratios = [after.ratio.median for _, after in done if after.ratio]
    errors = [after.error for _, after in done if after.error is not None]
    return (
        tool,
        next((after.version for _, after in done if after.version), "-"),
        str(len(pairs)),
        f"{sums.before - sums.after} / {sums.before}{_percent(sums)}",
        str(sums.at_zero),
        f"{sums.affines[0]} → {sums.affines[1]}",
        *map(str, sums.new),
        str(sum(after.invalid is not None for _, after in pairs)),
        str(sum(after.counts is None for _, after in pairs)),
        _number(median(errors) if errors else None, ".1e"),
        _number(max(_worse(done), default=None), ".2f"),
        _number(geometric_mean(ratios) if ratios else None, ".3f"),
        _number(max(ratios, default=None), ".2f"),
    )


def _percent(sums: _Sums) -> str:
    return f" = {100 * (1 - sums.after / sums.before):.1f} %" if sums.before else ""


def _sums(pairs: Sequence[tuple[Row, Row]]) -> _Sums:
    before = [_numbers(row) for row, _ in pairs]
    after = [_numbers(row) for _, row in pairs]
    grown = [
        [max(0, late[column] - early[column]) for column in (2, 3)]
        for early, late in zip(before, after, strict=True)
    ]
    columns = list(zip(*grown, strict=True)) or [(), ()]
    return _Sums(
        before=sum(one[0] for one in before),
        after=sum(one[0] for one in after),
        at_zero=sum(one[0] == 0 for one in after),
        affines=(sum(one[1] for one in before), sum(one[1] for one in after)),
        new=(sum(columns[0]), sum(columns[1])),
    )


def _worse(pairs: Sequence[tuple[Row, Row]]) -> Iterable[float]:
    """Error over the unfolded model's, of every model."""
    for before, after in pairs:
        if after.error is not None and before.error is not None:
            yield after.error / max(before.error, SMALLEST_ERROR)
