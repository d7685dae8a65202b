"""The processes that a measurement starts, and that none of them outlives it."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from os import getpgid, killpg
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

import service

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# For a server to let go of its models.
_END_S = 10.0

Child = subprocess.Popen[bytes]


@contextmanager
def child(
    module: str,
    environment: Mapping[str, str],
    *,
    errors: IO[bytes] | int,
    patience_s: float = _END_S,
) -> Iterator[Child]:
    """Run a module of this package in a group of processes of its own, for the time of the block.

    Args:
        module: such as ``service``.
        environment: of the process, the whole of it.
        errors: where its standard error stream goes.
        patience_s: that it has for its end; what still runs then is killed.
    """
    process: Child | None = None
    try:
        with _interrupts_held():
            process = subprocess.Popen(  # noqa: S603 -- this interpreter
                [sys.executable, "-m", module],
                # The first place where modules are looked for is the working folder, and the
                # caller's may well have a folder named service.
                cwd=Path(service.__file__).parents[1],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others
            )
        yield process
    finally:
        if process is not None:
            _end(process, patience_s)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that it cleans up behind itself."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def members(group: int) -> list[int]:
    """Return the processes of a group that run; none where the system does not list them."""
    with suppress(OSError):
        listed = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]
        return [pid for pid in listed if _group(pid) == group]
    return []


def _group(pid: int) -> int | None:
    try:
        return getpgid(pid)
    except ProcessLookupError:  # it has ended meanwhile
        return None


def _end(process: Child, patience_s: float) -> None:
    """End a process and all of its group; a second Ctrl-C does not wait."""
    try:
        process.terminate()
        process.communicate(timeout=patience_s)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        pass
    finally:
        with suppress(ProcessLookupError):  # nobody is left, as it should be
            killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Put off what would interrupt the block until its end: a process begun must be known."""
    caught: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: caught.append(number))
        for number in _SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
