"""`python -m benchmarks.serving`: servers of ONNX models side by side, in one run."""

import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, cast

import typer

from benchmarks.serving import machine, plots, rounds, table
from benchmarks.serving.calls import FORMATS, Format
from benchmarks.serving.models import MODELS, NoModelError
from benchmarks.serving.plan import OPEN
from benchmarks.serving.rows import Row, append
from benchmarks.serving.servers import BY_NAME
from benchmarks.serving.summary import sections

EVERY = "all"


def main(
    servers: Annotated[
        str, typer.Option(help=f"Which, as in `ours,mosec`: {', '.join(BY_NAME)}.")
    ] = EVERY,
    models: Annotated[str, typer.Option(help=f"Which: {', '.join(MODELS)}.")] = EVERY,
    formats: Annotated[str, typer.Option(help=f"Which: {', '.join(FORMATS)}.")] = EVERY,
    clients: Annotated[
        str, typer.Option(help="Other loads than the plan's, as in `1,64,open`.")
    ] = "",
    everything: Annotated[
        bool, typer.Option("--everything", help="All loads for all formats of all models.")
    ] = False,
    count: Annotated[int, typer.Option("--rounds", min=1, help="Turns of every server.")] = 3,
    seconds: Annotated[
        int, typer.Option(min=1, help="Of one load; on ResNet-18 twice as long.")
    ] = 2,
    out: Annotated[Path, typer.Option(help="Where rows, tables and plots go.")] = Path(
        "runs/serving"
    ),
    peers: Annotated[Path, typer.Option(help="The peers' virtual environments.")] = Path("peers"),
    built: Annotated[Path, typer.Option(help="The models that are built.")] = Path(
        "runs/serving-models"
    ),
    ceilings: Annotated[bool, typer.Option(help="Measure `session.run` alone, too.")] = True,
    install: Annotated[
        bool, typer.Option("--install", help="Only install the peers and build the models.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print it as Markdown.")] = False,
) -> None:
    """Compare servers: requests a second, latencies, errors, processor time, memory, start."""
    options = rounds.Options(
        servers=[BY_NAME[name] for name in _known(servers, BY_NAME)],
        models=_known(models, MODELS),
        forms=[cast(Format, name) for name in _known(formats, FORMATS)],
        clients=_clients(clients),
        everything=everything,
        rounds=count,
        seconds=seconds,
        peers=peers,
        built=built,
        ceilings=ceilings,
    )
    if shutil.which("wrk") is None:
        raise typer.BadParameter("wrk is not installed (apt install wrk)")
    try:
        prepared = rounds.prepare(options)
    except NoModelError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from error
    if not install:
        _report(_run(options, prepared, out), out, markdown=markdown)


def _run(options: rounds.Options, prepared: rounds.Prepared, out: Path) -> list[Row]:
    out.mkdir(parents=True, exist_ok=True)
    file = out / "rows.csv"
    file.unlink(missing_ok=True)
    rows: list[Row] = []
    for row in rounds.run(options, prepared):
        append(file, [row])
        rows.append(row)
        print(_progress(row), file=sys.stderr, flush=True)
    return rows


def _report(rows: list[Row], out: Path, *, markdown: bool) -> None:
    found = sections(rows)
    head = machine.describe()
    (out / "tables.md").write_text(f"{head}\n\n{table.text(found, markdown=True)}\n")
    (out / "tables.txt").write_text(f"{head}\n\n{table.text(found)}\n")
    plots.draw(found, out)
    print(f"{head}\n\n{table.text(found, markdown=markdown)}")


def _progress(row: Row) -> str:
    where = f"{row.round} {row.model} {row.form} {row.load} {row.server}"
    if row.failure or row.rate is None:
        return f"{where}: {row.failure}"
    return f"{where}: {row.rate:.1f}/s, p99 {row.p99_ms:.3g} ms, {row.errors} errors"


def _known(text: str, every: Collection[str]) -> list[str]:
    names = list(every) if text == EVERY else text.replace(",", " ").split()
    if unknown := [name for name in names if name not in every]:
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(every)}")
    return names


def _clients(text: str) -> list[int] | None:
    names = text.replace(",", " ").split()
    return [OPEN if name == "open" else int(name) for name in names] or None


if __name__ == "__main__":
    typer.run(main)
