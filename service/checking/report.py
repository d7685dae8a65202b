"""What a person sees of a check: the versions as a table, then a line for each thing to do."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from service.checking.findings import Findings, Version

_ENDS = (
    "Nothing is wrong.",
    "Something would not be served.",
    "There would be no start.",
)


def show(console: Console, findings: Findings) -> None:
    """Print what was found.

    Args:
        console: where to; it marks nothing up.
        findings: of a check.
    """
    if findings.versions:
        table = Table(title=f"Models in {_plain(findings.models)}", title_justify="left")
        for heading in ("model", "version", "state", ""):
            table.add_column(heading, overflow="fold")
        for each in findings.versions:
            cells = (each.model, each.version, each.state, _about(each))
            table.add_row(*map(_plain, cells))
        console.print(table)
    for line in _lines(findings):
        console.print(_plain(line), soft_wrap=True)


def _lines(findings: Findings) -> Iterator[str]:
    yield from (f"configuration: {line}" for line in findings.configuration)
    for word, kept_out in (("problem", True), ("warning", False)):
        for each in findings.findings:
            if each.keeps_out is kept_out:
                yield f"{word}: {each}"
    if findings.plan is not None:
        yield f"Plan: {findings.plan}."
    if findings.versions:
        ready = sum(each.state == "ready" for each in findings.versions)
        yield f"Versions that run here: {ready} of {len(findings.versions)}."
    yield _ENDS[findings.status]


def _about(version: Version) -> str:
    """Return why a version is not served, or how it runs."""
    if version.reason is not None:
        return version.reason
    how = [f"on {version.provider}", "in batches" if version.batched else "alone"]
    if version.row_ms is not None:
        how.append(f"{version.row_ms:.3f} ms a row")
    how.append("as at its export" if version.parity else "held against nothing")
    return ", ".join(how)


def _plain(text: object) -> str:
    """Return words that cannot command a terminal: names of folders are anybody's."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))
