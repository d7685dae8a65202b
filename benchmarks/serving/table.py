"""The summary as text: one table a load, then what was in the way of the others."""

from collections.abc import Sequence

from benchmarks.serving.summary import Line, Section

HEADER = (
    *("server", "version", "req/s", "±", "ours is", "p50 ms", "to ours", "p99 ms", "to ours"),
    *("errors", "CPU ms", "PSS MB", "largest MB", "processes", "start s"),
)
LATE = "generator's p99 ms"  # that it was late by itself, which counts as the server's latency
NOTHING = "-"


def text(sections: Sequence[Section], *, markdown: bool = False) -> str:
    """All tables, under their titles."""
    draw = as_markdown if markdown else aligned
    return "\n\n".join(
        "\n".join([f"**{section.title}**\n" if markdown else section.title, table, *complaints])
        for section in sections
        for table, complaints in [(draw(_cells(section)), _complaints(section, markdown))]
    )


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the first two to the left, the rest to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index > 1 else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_markdown(lines: Sequence[Sequence[str]]) -> str:
    """The same as Markdown."""
    header, *rest = lines
    rule = ["---", "---", *["---:"] * (len(header) - 2)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *rest])


def _cells(section: Section) -> list[Sequence[str]]:
    if section.load != "open":
        return [HEADER, *map(_line, section.lines)]
    late = [significant(line.medians.get("late_p99_ms")) for line in section.lines]
    lines = [[*_line(line), own] for line, own in zip(section.lines, late, strict=True)]
    return [[*HEADER, LATE], *lines]


def _line(line: Line) -> Sequence[str]:
    if line.failure is not None:
        return (line.server, line.version, "failed", *[NOTHING] * (len(HEADER) - 3))
    number = line.medians.get
    return (
        line.server,
        line.version,
        significant(number("rate")),
        NOTHING if line.spread is None else f"{line.spread:.0%}",
        _times(line.faster),
        significant(number("p50_ms")),
        _times(line.median_ratio),
        significant(number("p99_ms")),
        _times(line.tail_ratio),
        str(line.errors),
        significant(number("cpu_ms")),
        *(_whole(number(name)) for name in ("pss_mb", "largest_mb", "processes")),
        significant(number("start_s")),
    )


def _complaints(section: Section, markdown: bool) -> list[str]:
    found = [f"{line.server}: {line.failure}" for line in section.lines if line.failure]
    return ["", *(f"- {one}" for one in found)] if found and markdown else found


def significant(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return NOTHING
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _whole(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _times(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}x"
