"""A server's turn: it starts, is checked, is put under load, and ends."""

import socket
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.serving import checking
from benchmarks.serving.calls import Format
from benchmarks.serving.measuring import Target, loads
from benchmarks.serving.models import ServedModel
from benchmarks.serving.plan import Cell
from benchmarks.serving.processes import Running, running
from benchmarks.serving.rows import Row
from benchmarks.serving.samples import Sample
from benchmarks.serving.servers import Server

START_LIMIT_S = 120.0


@dataclass(frozen=True)
class Turn:
    """What a turn is of.

    Attributes:
        number: Of the round, from 1.
        server: Whose it is.
        python: That has it.
        model: That it serves.
        samples: Inputs and right answers.
        cells: The loads.
        seconds: Of each.
    """

    number: int
    server: Server
    python: Path
    model: ServedModel
    samples: Sequence[Sample]
    cells: Sequence[Cell]
    seconds: float

    def row(self, cell: Cell, **found: object) -> Row:
        """A line of the result."""
        named = (self.number, self.server.name, self.server.version, self.model.name)
        return Row(*named, cell.form, cell.load, **found)  # type: ignore[arg-type]  # a row's own

    @property
    def spoken(self) -> list[Cell]:
        """The loads whose format the server speaks."""
        return [cell for cell in self.cells if cell.form in self.server.callers]

    def questions(self, form: Format) -> list[checking.Question]:
        """What to ask in a format, and the right answers."""
        caller = self.server.callers[form]
        return [(caller(self.model, sample), sample.logits) for sample in self.samples]


def take(turn: Turn) -> Iterator[Row]:
    """Give a server its turn.

    Yields:
        One row a load, with a failure where it could not be measured.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="s", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        command = turn.server.command(turn.python, port)
        environment = turn.server.environment(turn.model, port, scratch)
        with running(command, environment, scratch / "log") as server:
            yield from _measured(turn, server, port, scratch)


def free_port() -> int:
    """A port that nobody has, and whose successor nobody has: MLServer takes both."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except (OSError, OverflowError):
                continue


def _measured(turn: Turn, server: Running, port: int, scratch: Path) -> Iterator[Row]:
    if not turn.spoken:
        return
    form = turn.spoken[0].form
    question = turn.questions(form)[0]
    try:
        when = checking.first_answer(port, form, question, lambda: server.ended, START_LIMIT_S)
    except checking.NotStartedError as error:
        failure = f"{error}; {server.last_words()}"
        yield from (turn.row(cell, failure=failure) for cell in turn.spoken)
        return
    start_s = when - server.began
    for form, group in groupby(turn.spoken, lambda cell: cell.form):
        target = Target(server, port, form, turn.questions(form), scratch)
        for cell, found in loads(target, list(group), turn.seconds, seed=turn.number):
            yield turn.row(cell, **found, start_s=start_s)
