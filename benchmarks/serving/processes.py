"""A server's processes: started, watched and ended."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import keeper
from benchmarks.serving.models import ROOT

# Nothing of the caller's shell reaches a server: only what stands here and with the server.
ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8"}
END_LIMIT_S = 30
LAST_LINES = 3
MB_PER_KIB = 1024 / 1e6


@dataclass(frozen=True)
class Memory:
    """What a server's processes hold.

    Attributes:
        pss_mb: In all, what they share counted once.
        rss_mb: The sum of what each holds, what they share counted with each.
        largest_mb: What the largest of them holds (its RSS).
        processes: How many there are.
    """

    pss_mb: float
    rss_mb: float
    largest_mb: float
    processes: int


class Running:
    """A server that was started.

    Attributes:
        began: When, of `time.monotonic()`.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", began: float, log: Path) -> None:
        self._process = process
        self.began = began
        self._log = log

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def processes(self) -> list[keeper.Process]:
        """Its processes, the one that was started first."""
        return keeper.descendants(self._process.pid)

    def cpu_s(self) -> float:
        """Seconds of processor time that its processes have used so far."""
        ticks = sum(one.ticks for one in self.processes())
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> Memory:
        """What its processes hold now."""
        sizes = [size for one in self.processes() if (size := _sizes(one.pid)) is not None]
        pss, rss = [sum(column) for column in zip(*sizes, strict=True)] or [0.0, 0.0]
        largest = max((one[1] for one in sizes), default=0.0)
        return Memory(pss, rss, largest, len(sizes))

    def last_words(self) -> str:
        """The end of what it said."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " / ".join(line.strip()[:200] for line in lines[-LAST_LINES:]) or "no word"


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Running]:
    """Run a server as long as the block does; afterwards no process of it is left.

    Args:
        command: What starts it, from the root of this repository.
        environment: Added to a bare one.
        log: Where its output goes.
    """
    kept = [sys.executable, "-I", "-S", str(Path(keeper.__file__)), *command]
    variables = {**ENVIRONMENT, **environment}
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603 - a server of the table
            kept, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=output
        ) as process,
    ):
        try:
            yield Running(process, _first_number(process), log)
        finally:
            process.terminate()
            process.wait(END_LIMIT_S)


def _first_number(process: "subprocess.Popen[bytes]") -> float:
    if process.stdout is None:  # pragma: no cover - it is a pipe
        raise RuntimeError
    return float(process.stdout.readline())


def _sizes(pid: int) -> tuple[float, float] | None:
    """PSS and RSS in MB; None of a process that has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    kib = {line.split(":")[0]: line.split()[1] for line in text.splitlines()[1:]}
    return int(kib["Pss"]) * MB_PER_KIB, int(kib["Rss"]) * MB_PER_KIB
