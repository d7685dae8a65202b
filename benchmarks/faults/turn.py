"""A server's turn: it starts, is checked, meets one scenario, and ends."""

import asyncio
import os
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.clients import get_request
from benchmarks.faults import cancelled, killed, overload, poison, roads
from benchmarks.faults.rows import Row
from benchmarks.faults.servers import MOST_REQUESTS, Subject
from benchmarks.faults.target import Counts, Effort, Target, quiet
from benchmarks.serving import checking
from benchmarks.serving.answers import WrongAnswerError
from benchmarks.serving.calls import Format
from benchmarks.serving.models import ServedModel
from benchmarks.serving.processes import Running, running
from benchmarks.serving.samples import Sample
from benchmarks.serving.servers import Server
from benchmarks.serving.turn import START_LIMIT_S, free_port

Scenario = Callable[[Target], Coroutine[None, None, Counts]]
OVERLOAD = "overload"
SCENARIOS: Mapping[str, Scenario] = {
    "cancelled": cancelled.over_http,
    "cancelled-grpc": cancelled.over_grpc,
    "poison": poison.play,
    OVERLOAD: overload.play,
    "killed": killed.play,
}
# Of the requests, where it is not the overload's: longer than what is waited for in them.
DEADLINE_S = 30.0
PATIENCE_S = 20.0  # of the requests of a burst, which takes a second or two
FORM: Format = "json"  # the one that every server speaks


@dataclass(frozen=True)
class Turn:
    """What a turn is of.

    Attributes:
        number: Of the round, from 1.
        subject: Whose it is.
        python: That has its server.
        model: That it serves.
        samples: Inputs and right answers.
        scenario: Its name.
        effort: How much is done.
        load: Of the machine, before.
        most: Requests that may be in the server at once, where it is told.
    """

    number: int
    subject: Subject
    python: Path
    model: ServedModel
    samples: Sequence[Sample]
    scenario: str
    effort: Effort
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    most: int = MOST_REQUESTS

    @property
    def server(self) -> Server:
        """What starts it."""
        deadline_s = overload.DEADLINE_S if self.scenario == OVERLOAD else DEADLINE_S
        return self.subject.server(deadline_s, self.most)

    def row(self, counts: Counts | None = None, failure: str | None = None) -> Row:
        """A line of the result."""
        named = (self.number, self.subject.name, self.server.version, self.scenario)
        return Row(*named, failure, dict(counts or {}), self.load)


def take(turn: Turn) -> Row:
    """Give a server its turn."""
    if turn.scenario == "cancelled-grpc" and turn.subject.grpc is None:
        return turn.row(failure="no gRPC of its own with batches")
    if turn.scenario != OVERLOAD or not turn.subject.bounded:
        return _tried(turn, SCENARIOS[turn.scenario])
    measured = _tried(turn, overload.measure)
    if measured.failure is not None:
        return measured
    turn = replace(turn, most=overload.most(measured.counts["peak"]))
    row = _tried(turn, overload.play)
    return replace(row, counts={**row.counts, "most": turn.most})


def _tried(turn: Turn, scenario: Scenario) -> Row:
    row = _on(turn, scenario, free_port())
    # A port next to one that was free may have been taken meanwhile, by a connection of anybody's.
    return row if row.failure is None else _on(turn, scenario, free_port())


def _on(turn: Turn, scenario: Scenario, port: int) -> Row:
    with tempfile.TemporaryDirectory(prefix="s", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        server = turn.server
        environment = server.environment(turn.model, port, scratch)
        with running(server.command(turn.python, port), environment, scratch / "log") as started:
            return _played(turn, scenario, started, port)


def _played(turn: Turn, scenario: Scenario, started: Running, port: int) -> Row:
    caller = turn.server.callers[FORM]
    questions = [(caller(turn.model, sample), sample.logits) for sample in turn.samples]
    try:
        checking.first_answer(port, FORM, questions[0], lambda: started.ended, START_LIMIT_S)
        checking.check(port, FORM, questions)
    except (checking.NotStartedError, WrongAnswerError) as error:
        return turn.row(failure=f"{error}; {started.last_words()}")
    target = Target(
        started,
        port,
        turn.samples,
        [call.encoded(port) for call, _ in questions],
        get_request(turn.subject.health),
        roads.over_http(port, caller, turn.model, PATIENCE_S),
        _grpc(turn, port),
        turn.effort,
    )
    counts = asyncio.run(_play(target, scenario))
    return turn.row({**counts, "ended": started.ended})


async def _play(target: Target, scenario: Scenario) -> Counts:
    await quiet(target.running)  # every worker has started, and not only the first
    return await scenario(target)


def _grpc(turn: Turn, port: int) -> roads.Ask | None:
    if turn.subject.grpc is None:
        return None
    name = turn.subject.grpc.format(model=turn.model.name)
    return roads.over_grpc(port + 1, name, turn.model, PATIENCE_S)
