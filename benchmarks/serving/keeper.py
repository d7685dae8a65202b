"""A program that runs a server and of which nothing is left when it ends.

    python keeper.py COMMAND ...

Servers start processes, and some of those leave their process group and their parent. All of them
become children of this program, which kills them when the server ends, when it is told to, and when
the program that started it dies, even by SIGKILL. It imports nothing but the standard library, and
prints the moment at which the server was started.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

# Of prctl(2), in <linux/prctl.h>.
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
TRACKER = b"multiprocessing.resource_tracker"
TRACKING_LIMIT_S = 3
POLL_S = 0.01


class Process(NamedTuple):
    """A line of `/proc/<pid>/stat`."""

    pid: int
    parent: int
    ticks: int  # of processor time, that of children that have ended included


def processes() -> dict[int, Process]:
    """Every process that there is, by its id."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                continue
            pid = int(folder.name)
            fields = text.rpartition(")")[2].split()  # the name before may hold anything
            found[pid] = Process(pid, int(fields[1]), sum(map(int, fields[11:15])))
    return found


def descendants(pid: int) -> list[Process]:
    """All processes below one."""
    everyone = processes()
    below: list[Process] = []
    parents = {pid}
    while parents:
        children = [one for one in everyone.values() if one.parent in parents]
        below += children
        parents = {child.pid for child in children}
    return below


def main(command: Sequence[str]) -> None:
    """Run a server until it ends or until this program is told to end."""
    adopt_and_follow(os.getppid())
    signal.signal(signal.SIGTERM, _leave)
    try:
        print(time.monotonic(), flush=True)  # noqa: T201 - a program
        # What it says goes where complaints go: the line above has the other way for itself.
        server = subprocess.Popen(command, stdout=sys.stderr)  # noqa: S603 - a server of the table
        while os.wait()[0] != server.pid:  # reaps those that were adopted, too
            pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        kill_all()


def adopt_and_follow(parent: int) -> None:
    """Adopt whatever loses its parent below, and get SIGTERM when the own parent dies."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for option, value in ((PR_SET_CHILD_SUBREAPER, 1), (PR_SET_PDEATHSIG, signal.SIGTERM)):
        if prctl(option, ctypes.c_ulong(value)):
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:  # it died before we followed
        sys.exit(1)


def kill_all() -> None:
    """Kill and reap everything below, until there is nothing.

    Trackers of multiprocessing may end by themselves: once the others are gone, they remove what
    those have left in shared memory.
    """
    end = time.monotonic() + TRACKING_LIMIT_S
    while below := descendants(os.getpid()):
        for process in below:
            if time.monotonic() > end or not _tracks(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(POLL_S)


def _tracks(pid: int) -> bool:
    try:
        return TRACKER in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _leave(*_: object) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
