"""Start a tool in a process of its own, with a time limit for every model."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.folding.tools import MARK, OWN

ROOT = Path(__file__).parents[2]  # of the repository: where `python -m benchmarks...` works


@dataclass(frozen=True)
class Attempt:
    """What came of one tool on one model.

    Attributes:
        path: Of the folded model; None where there is none.
        version: Of the tool.
        seconds: To fold what was loaded.
        failure: That it is missing, took too long, crashed, or what it raised.
        invalid: Why the result is no valid model.
    """

    path: Path | None = None
    version: str | None = None
    seconds: float | None = None
    failure: str | None = None
    invalid: str | None = None


def attempts(
    tool: str, files: Sequence[tuple[Path, Path]], limit_s: float, peers: Path
) -> list[Attempt]:
    """Run one tool on several models, in as few processes as it survives.

    Args:
        tool: A name in `tools.TOOLS`.
        files: Of every model, and where the folded one goes.
        limit_s: After so many seconds on one model the process is ended.
        peers: The Python that has the peers; this project's own modes run with this one.

    Returns:
        One of each model, in order.
    """
    python = sys.executable if tool in OWN else str(peers)
    command = [python, "-m", "benchmarks.folding.tools", tool]
    done: list[Attempt] = []
    while len(done) < len(files):
        done += one_process(command, files[len(done) :], limit_s)
    return done


def one_process(
    command: Sequence[str], files: Sequence[tuple[Path, Path]], limit_s: float
) -> list[Attempt]:
    """Run a program that says one line a model, for as long as it goes.

    Args:
        command: The program, to which the files are added.
        files: Of every model, and where the folded one goes.
        limit_s: How long it may be silent.

    Returns:
        At least one attempt; fewer than files if the last of them took the program down.
    """
    names = [str(path.resolve()) for pair in files for path in pair]
    done: list[Attempt] = []
    with subprocess.Popen(  # noqa: S603 - the interpreter and files that the user named
        [*command, *names], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        lines = _lines(process.stdout)
        for _, target in files:
            try:
                line = lines.get(timeout=limit_s)
            except queue.Empty:
                process.kill()
                return [*done, Attempt(failure=f"not done in {limit_s:.0f} s")]
            if line is None:
                return [*done, Attempt(failure=_ending(process.wait()))]
            done.append(_understood(line, target))
    return done


def _lines(stream: IO[str] | None) -> "queue.SimpleQueue[str | None]":
    """The lines that a program says to us, read in a thread; then None."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in stream or ():
            if line.startswith(MARK):  # tools print things of their own
                lines.put(line.removeprefix(MARK))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _ending(code: int) -> str:
    return f"crash (signal {-code})" if code < 0 else f"exit {code}"


def _understood(line: str, target: Path) -> Attempt:
    said = json.loads(line)
    if failure := said.get("failure"):
        return Attempt(failure=failure, version=said.get("version"))
    return Attempt(
        path=target,
        version=said["version"],
        seconds=said["seconds"],
        invalid=said["invalid"],
    )
