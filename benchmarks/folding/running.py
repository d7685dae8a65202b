"""Start a tool in a process of its own, with a time limit."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.folding.tools import OWN

ROOT = Path(__file__).parents[2]  # of the repository: where `python -m benchmarks...` works


@dataclass(frozen=True)
class Attempt:
    """What came of one tool on one model.

    Attributes:
        path: Of the folded model; None where there is none.
        version: Of the tool.
        seconds: To fold what was loaded.
        failure: "missing", "time limit", "crash (signal 11)" or what it raised.
        invalid: Why the result is no valid model.
    """

    path: Path | None = None
    version: str | None = None
    seconds: float | None = None
    failure: str | None = None
    invalid: str | None = None


def attempt(tool: str, source: Path, target: Path, limit_s: float, peers: Path) -> Attempt:
    """Run one tool.

    Args:
        tool: A name in `tools.TOOLS`.
        source: The model.
        target: Where the folded model goes.
        limit_s: After so many seconds it is ended.
        peers: The Python that has the peers; this project's own modes run with this one.
    """
    python = sys.executable if tool in OWN else str(peers)
    files = [str(source.resolve()), str(target.resolve())]
    command = [python, "-m", "benchmarks.folding.tools", tool, *files]
    try:
        done = subprocess.run(  # noqa: S603 - the interpreter and files that the user named
            command, cwd=ROOT, capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return Attempt(failure=f"not done in {limit_s:.0f} s")
    return _understood(done, target)


def _understood(done: "subprocess.CompletedProcess[bytes]", target: Path) -> Attempt:
    if done.returncode < 0:
        return Attempt(failure=f"crash (signal {-done.returncode})")
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    try:
        said = json.loads(lines[-1]) if lines else None
    except ValueError:
        said = None
    if not isinstance(said, dict):
        return Attempt(failure=f"exit {done.returncode} without a word")
    if "missing" in said:
        return Attempt(failure=f"missing: {said['missing']}")
    if "failed" in said:
        return Attempt(failure=str(said["failed"]))
    return Attempt(
        path=target,
        version=said["version"],
        seconds=said["seconds"],
        invalid=said["invalid"],
    )
