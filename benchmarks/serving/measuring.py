"""A running server under its loads, one format after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.serving.answers import WrongAnswerError
from benchmarks.serving.calls import Format
from benchmarks.serving.checking import Question, check
from benchmarks.serving.closed_loop import NoWrkError, closed_loop
from benchmarks.serving.load import Load
from benchmarks.serving.open_loop import arrivals, open_loop
from benchmarks.serving.plan import CLIENTS, OPEN, Cell
from benchmarks.serving.processes import Running

WARM_UP_S = 1.0  # once a format
OPEN_SHARE = 0.5  # of the capacity that was measured just before
OPEN_TIMES = 2  # as long as a closed loop: its 99th percentile wants more requests
MS = 1e3
Found = dict[str, object]  # of a row


@dataclass(frozen=True)
class Target:
    """A server that answers, and what to send it.

    Attributes:
        server: Its processes.
        port: Where it listens.
        form: Of the requests.
        questions: The requests, and the right answers.
        scratch: A folder for files.
    """

    server: Running
    port: int
    form: Format
    questions: Sequence[Question]
    scratch: Path

    def encoded(self) -> list[bytes]:
        """The requests as they go over the wire."""
        return [call.encoded(self.port) for call, _ in self.questions]

    def files(self) -> list[Path]:
        """The same in files."""
        paths = []
        for number, request in enumerate(self.encoded()):
            paths.append(self.scratch / f"{self.form}-{number}.http")
            paths[-1].write_bytes(request)
        return paths


def loads(
    target: Target, cells: Sequence[Cell], seconds: float, seed: int
) -> Iterator[tuple[Cell, Found]]:
    """Check that the answers are right, and put every load on the server.

    Args:
        target: The server.
        cells: The loads, all of the target's format.
        seconds: Of each; an open loop takes twice as long.
        seed: Of the arrivals.

    Yields:
        Every load with what was found, or with why nothing was.
    """
    try:
        check(target.port, target.form, target.questions)
        files = target.files()
        most = max(cell.clients for cell in cells) or max(CLIENTS)
        capacity = closed_loop(target.port, files, clients=most, seconds=WARM_UP_S).rate
    except (WrongAnswerError, NoWrkError) as error:
        for cell in cells:
            yield cell, {"failure": f"{type(error).__name__}: {error}"}
        return
    for cell in cells:
        try:
            if cell.clients == OPEN:
                found = _open(target, capacity * OPEN_SHARE, seconds * OPEN_TIMES, seed)
            else:
                found = _closed(target, files, cell.clients, seconds)
                capacity = max(capacity, float(str(found["rate"])))
        except (NoWrkError, OSError) as error:
            found = {"failure": f"{type(error).__name__}: {error}"}
        yield cell, found


def _closed(target: Target, files: Sequence[Path], clients: int, seconds: float) -> Found:
    before = target.server.cpu_s()
    load = closed_loop(target.port, files, clients=clients, seconds=seconds)
    return _found(load, target.server, before)


def _open(target: Target, rate: float, seconds: float, seed: int) -> Found:
    due = arrivals(rate, seconds, seed)
    before = target.server.cpu_s()
    load = open_loop(target.port, target.encoded(), due)
    return {**_found(load, target.server, before), "asked_rate": rate}


def _found(load: Load, server: Running, cpu_before_s: float) -> Found:
    used = server.cpu_s() - cpu_before_s
    cpu_ms = used * MS / load.requests if load.requests else None
    return {**asdict(load), "rate": load.rate, "cpu_ms": cpu_ms, **asdict(server.memory())}
