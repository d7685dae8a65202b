"""`python -m benchmarks.faults`: servers of ONNX models under faults, side by side."""

import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.faults import model, table
from benchmarks.faults.rows import Row, append, read
from benchmarks.faults.servers import BY_SUBJECT
from benchmarks.faults.target import Effort
from benchmarks.faults.turn import SCENARIOS, Turn, take
from benchmarks.serving import machine
from benchmarks.serving.environments import NoEnvironmentError
from benchmarks.serving.samples import samples
from benchmarks.serving.servers import BY_NAME

EVERY = "all"


def main(
    servers: Annotated[
        str, typer.Option(help=f"Which, as in `ours,mosec`: {', '.join(BY_SUBJECT)}.")
    ] = EVERY,
    scenarios: Annotated[str, typer.Option(help=f"Which: {', '.join(SCENARIOS)}.")] = EVERY,
    count: Annotated[
        int, typer.Option("--rounds", min=0, help="Of every server; 0 only prints the tables.")
    ] = 2,
    seconds: Annotated[
        float, typer.Option(min=1.0, help="Of the overload, and after a worker's death.")
    ] = Effort.seconds,
    bursts: Annotated[int, typer.Option(min=1, help="Of requests that meet.")] = Effort.bursts,
    out: Annotated[Path, typer.Option(help="Where rows and tables go.")] = Path("runs/faults"),
    add: Annotated[
        bool, typer.Option("--add", help="Go on behind the rows that are there.")
    ] = False,
    peers: Annotated[Path, typer.Option(help="The peers' virtual environments.")] = Path("peers"),
    built: Annotated[Path, typer.Option(help="The model that is built.")] = Path(
        "runs/faults-models"
    ),
) -> None:
    """Let servers meet requests that are cancelled or poisonous, overload, and a worker's death."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "rows.jsonl"
    if count and not add:
        file.unlink(missing_ok=True)
    names = _known(servers, BY_SUBJECT), _known(scenarios, SCENARIOS)
    effort = Effort(bursts, seconds, min(seconds, Effort.peak_s))
    head = machine.describe()
    done = Counter((row.server, row.scenario) for row in read(file))
    for row in _rows(*names, count, done, effort, peers, built):
        append(file, [row])
        print(row, file=sys.stderr, flush=True)
    text = f"{head}\n\n{table.text(read(file))}"
    (out / "tables.md").write_text(f"{text}\n")
    print(text)


def _rows(
    servers: list[str],
    scenarios: list[str],
    count: int,
    done: Counter[tuple[str, str]],
    effort: Effort,
    peers: Path,
    built: Path,
) -> Iterator[Row]:
    served = model.provide(built)
    inputs = samples(served)
    for turn in range(1, count + 1):
        for scenario in scenarios:
            for name in _rotated(servers, turn):
                number = turn + done[name, scenario]
                server = BY_NAME[name]
                try:
                    python = server.python(peers)
                except NoEnvironmentError as error:
                    failure = f"not installed: {error}"
                    yield Row(number, name, server.version, scenario, failure)
                else:
                    subject = BY_SUBJECT[name]
                    yield take(Turn(number, subject, python, served, inputs, scenario, effort))


def _rotated(servers: list[str], number: int) -> list[str]:
    """Another one begins every round, so that no place in the row is a favour."""
    first = (number - 1) % len(servers)
    return [*servers[first:], *servers[:first]]


def _known(text: str, every: Collection[str]) -> list[str]:
    names = list(every) if text == EVERY else text.replace(",", " ").split()
    if unknown := [name for name in names if name not in every]:
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(every)}")
    return names


if __name__ == "__main__":
    typer.run(main)
