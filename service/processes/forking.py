"""A process forked for one worker: what it must not inherit, and how it ended."""

import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_CRASHED = 1


def fork(
    work: Callable[[socket.socket], int], foreign: Iterable[socket.socket]
) -> tuple[int, socket.socket]:
    """Fork a worker; return its process and this side's end of the line to it.

    Args:
        work: what it does, with its end of the line; returns the exit status.
        foreign: sockets of this process that the worker must not hold open.

    Raises:
        OSError: the system has no memory or no number for one more process.
    """
    ours, theirs = socket.socketpair()
    sys.stdout.flush()  # what is still in the buffer would be written twice
    sys.stderr.flush()
    # A signal between the fork and the worker's own handling would run this side's handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:  # pragma: no cover -- the measurement of coverage does not follow
            _be(lambda: work(theirs), (ours, *foreign))
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        theirs.close()
    return pid, ours


def reap(pid: int) -> str:
    """Wait for a process that has ended; return how, in words."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"status {code}" if code >= 0 else signal.Signals(-code).name


@contextmanager
def caught_signals(
    selector: selectors.BaseSelector, caught: Callable[[], None]
) -> Iterator[socket.socket]:
    """Have a selector wake up for each signal that asks for the end.

    Args:
        selector: whose keys hold functions to call.
        caught: called for each signal, in the turn of whoever selects.

    Yields:
        A socket that no worker must hold.
    """
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(theirs.fileno())

    def read() -> None:
        for number in ours.recv(4096):
            if number in SIGNALS:
                caught()

    selector.register(ours, selectors.EVENT_READ, read)
    try:
        yield ours
    finally:
        selector.unregister(ours)
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        ours.close()
        theirs.close()


def _be(work: Callable[[], int], foreign: Iterable[socket.socket]) -> NoReturn:  # pragma: no cover
    """Be the worker: never return to where the process above was."""
    status = _CRASHED
    try:
        # Orders come over the line. A signal to the whole group, as a terminal or a service
        # manager sends it, would come twice: here, and passed on by the process above.
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        for each in foreign:
            each.close()
        status = work()
    except BaseException:  # noqa: BLE001 -- nothing is left that could handle it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
