"""`python -m benchmarks.folding MODEL ...`: folders of batch norm side by side, in one run."""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.folding import table
from benchmarks.folding.comparison import Options, Row, compare
from benchmarks.folding.models import UnknownModelError, batches, expand, provide
from benchmarks.folding.tools import TOOLS

HERE = Path(sys.executable)


def main(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Files, light:NAME, pattern:NAME, torchvision:NAME, timm:NAME; "
            "`light` and `pattern` are all of a kind."
        ),
    ],
    tools: Annotated[
        list[str] | None, typer.Option("--tool", help=f"Only these: {', '.join(TOOLS)}.")
    ] = None,
    peers: Annotated[Path, typer.Option(help="The Python that has the other tools.")] = HERE,
    architectures: Annotated[
        Path, typer.Option(help="The Python that has torchvision and timm.")
    ] = HERE,
    limit_s: Annotated[float, typer.Option(help="Seconds for one tool on one model.")] = 300,
    latency_s: Annotated[
        float, typer.Option(help="Seconds to measure latency, a model; 0: not at all.")
    ] = 10,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every row there, too.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Keep the models that are made, and take them from there.")
    ] = None,
    markdown: Annotated[bool, typer.Option(help="The last table as Markdown.")] = False,
) -> None:
    """Compare what folders of batch norm make of models: what is left, how exact, how fast."""
    options = Options(_known(tools), peers, limit_s=limit_s, latency_s=latency_s)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as made:
        for batch in batches(_provided(expand(models), folder or Path(made), architectures)):
            for found in compare(batch, options):
                print(table.per_model(found) + "\n", flush=True)
                rows += found
                if json_file is not None:  # at once: hours of work survive an interruption
                    json_file.write_text(json.dumps([dataclasses.asdict(row) for row in rows]))
    if not rows:
        raise typer.Exit(1)
    summary = table.totals(rows)
    print("all models\n" + (table.markdown(summary) if markdown else summary))


def _provided(names: list[str], folder: Path, architectures: Path) -> Iterator[tuple[str, Path]]:
    for name in names:
        try:
            path = provide(name, folder, architectures)
        except UnknownModelError as error:
            print(f"{error}\n", file=sys.stderr)
        else:
            yield name if ":" in name else path.stem, path


def _known(tools: list[str] | None) -> list[str]:
    unknown = [tool for tool in tools or [] if tool not in TOOLS]
    if unknown:
        raise typer.BadParameter(f"no such tool: {', '.join(unknown)}")
    return tools or list(TOOLS)


if __name__ == "__main__":
    typer.run(main)
