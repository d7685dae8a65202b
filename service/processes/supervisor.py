"""The process above several workers.

It forks them, and from then on starts a worker anew that dies or hangs, passes stops and commands
on, and serves nothing itself. The line to each worker is a pair of sockets, one message of JSON a
line: whichever side dies, the other reads the end.

    told by a worker   loaded, ready, failed; ask, did      (relay.py)
    told to a worker   serve, stop; do, answers
"""

import json
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import kill

import structlog

from service.errors import StartError
from service.processes.backlog import take_no_more
from service.processes.backoff import Backoff
from service.processes.forking import caught_signals, fork, reap
from service.processes.handover import PAUSE_S, Handover
from service.processes.relay import Message, Relay
from service.processes.server import Announce
from service.processes.watch import BEAT_S, Watch
from service.repository.hub import Command
from service.telemetry.board import Board

log = structlog.get_logger()

Work = Callable[[int, socket.socket, Sequence[Command]], int]

# A worker that reads nothing for as long hangs.
_LINE_PATIENCE_S = 1.0


@dataclass
class _Worker:
    """One worker's process.

    Args:
        pid: of the process.
        line: this side's end.
        since: the fork, in monotonic seconds.
        unread: the beginning of a message.
        ready: whether it serves.
    """

    pid: int
    line: socket.socket
    since: float
    unread: bytes = b""
    ready: bool = False


class Supervisor:
    """The process above the workers.

    Args:
        listeners: one for each worker.
        board: of the workers' counters.
        work: what the numbered worker does with its end of the line, in the forked process,
            and what was commanded before it was there; returns the exit status.
        announce: told the lines that a person wants to see once all workers are ready.
        grace_s: seconds from the first stop until what is left of the workers is killed.
        watch: tells which of them hang.
        handover: what comes to the listener of one that is dead goes to the others over this.
        each_turn: called every second or more often, to keep up to date what workers begin with.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        board: Board,
        work: Work,
        announce: Announce,
        grace_s: float,
        watch: Watch,
        handover: Handover,
        each_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._listeners = listeners
        self._board = board
        self._work = work
        self._announce = announce
        self._grace_s = grace_s
        self._watch = watch
        self._handover = handover
        self._each_turn = each_turn
        self._workers: dict[int, _Worker] = {}
        self._restarts: dict[int, float] = {}
        self._backoff = Backoff()
        self._relay = Relay(self._tell)
        self._selector = selectors.PollSelector()  # has no descriptor that a fork would share
        self._was_ready = False
        self._kill_at = float("inf")

    def run(self) -> None:
        """Serve until a signal, then until the last worker is done.

        Raises:
            StartError: a worker could not start; the others are ended.
        """
        with caught_signals(self._selector, self._stop) as self._alarm:
            try:
                for number in range(len(self._listeners)):
                    self._fork(number)
                while self._workers or self._restarts:
                    self._turn()
            finally:
                self._kill()

    def _turn(self) -> None:
        """Wait for the next event, and do what is due."""
        orphaned = self._orphaned()
        due = min([*self._restarts.values(), self._kill_at])
        wait_s = min(max(0.0, due - time.monotonic()), PAUSE_S if orphaned else BEAT_S)
        for listener in orphaned:
            self._handover.pass_on(listener)
        for key, _ in self._selector.select(wait_s):
            key.data()
        self._relay.expire()
        self._kill_silent()
        self._each_turn()
        now = time.monotonic()
        for number in [number for number, at in self._restarts.items() if at <= now]:
            del self._restarts[number]
            self._fork(number)
        if now >= self._kill_at:
            log.warning("workers killed", reason="they did not end in time")
            self._kill()

    def _orphaned(self) -> list[socket.socket]:
        """Return the listeners of those that are to serve, and are not there or not ready."""
        if self._stopping or not self._was_ready:
            return []
        serving = [number for number, worker in self._workers.items() if worker.ready]
        return [each for number, each in enumerate(self._listeners) if number not in serving]

    def _kill_silent(self) -> None:
        """Kill the workers that hang; their end is read on the line, as of any other."""
        for number in self._watch.silent():
            self._watch.end(number)
            log.error("worker killed", worker=number, reason="it gave no sign of life")
            kill(self._workers[number].pid, signal.SIGKILL)

    def _fork(self, number: int) -> None:
        own = self._listeners[number]
        foreign = [each.line for each in self._workers.values()]
        foreign += [each for each in self._listeners if each is not own]
        try:
            pid, line = fork(
                lambda end: self._work(number, end, self._relay.history), [self._alarm, *foreign]
            )
        except OSError as error:
            self._no_room(number, str(error.strerror))
            return
        line.settimeout(_LINE_PATIENCE_S)
        self._watch.begin(number)
        worker = self._workers[number] = _Worker(pid, line, time.monotonic())
        self._selector.register(line, selectors.EVENT_READ, lambda: self._read(number, worker))

    def _read(self, number: int, worker: _Worker) -> None:
        """Take what a worker sent; an empty read is its end."""
        data = b""
        with suppress(ConnectionError):
            data = worker.line.recv(2**16)
        if not data:
            self._ended(number, worker)
            return
        *lines, worker.unread = (worker.unread + data).split(b"\n")
        for line in lines:
            self._told(number, worker, json.loads(line))

    def _told(self, number: int, worker: _Worker, message: Message) -> None:
        if "ask" in message:
            self._relay.ask(number, message)
        elif "did" in message:
            self._relay.did(number, message)
        elif "loaded" in message:
            self._relay.joined(number)
        elif "ready" in message:
            worker.ready = True
            self._welcome(message["ready"])
        elif "failed" in message:
            if not self._was_ready:
                raise StartError(message["failed"])
            log.error("worker failed", worker=number, reason=message["failed"])

    def _welcome(self, lines: Sequence[str]) -> None:
        """Announce the service when the last of its workers is ready for the first time."""
        everybody = len(self._workers) == len(self._listeners)
        if not self._was_ready and everybody and all(w.ready for w in self._workers.values()):
            self._was_ready = True
            for line in lines:
                self._announce(line)

    def _ended(self, number: int, worker: _Worker) -> None:
        self._forget(number)
        how = reap(worker.pid)
        self._relay.left(number)
        self._board.slots[number].release()
        if self._stopping:
            return
        if not self._was_ready:
            raise StartError(f"worker {number} ended with {how} before it was ready")
        self._backoff.lived(number, time.monotonic() - worker.since)
        delay = self._postpone(number)
        log.error("worker ended", worker=number, pid=worker.pid, how=how, restart_in_s=delay)

    def _no_room(self, number: int, reason: str) -> None:
        """Try again later to fork a worker; without a service there is nothing to wait for."""
        if not self._was_ready:
            raise StartError(f"worker {number} cannot be started: {reason}")
        log.error("no worker", worker=number, reason=reason, restart_in_s=self._postpone(number))

    def _postpone(self, number: int) -> float:
        """Start a worker later; return in how many seconds."""
        delay = self._backoff.delay_s(number)
        self._restarts[number] = time.monotonic() + delay
        return delay

    @property
    def _stopping(self) -> bool:
        return self._kill_at < float("inf")

    def _stop(self) -> None:
        """Let the workers drain; what the second and third signal mean is their matter."""
        if not self._stopping:
            for listener in self._orphaned():
                take_no_more(listener)
                self._handover.pass_on(listener)
            self._kill_at = time.monotonic() + self._grace_s
            self._restarts.clear()
            for listener in self._listeners:  # the workers have their own, as long as they like
                listener.close()
        for number in list(self._workers):
            self._tell(number, {"stop": True})

    def _tell(self, number: int, message: Message) -> None:
        worker = self._workers.get(number)
        if worker is None:
            return
        try:
            worker.line.sendall(json.dumps(message).encode() + b"\n")
        except TimeoutError:
            kill(worker.pid, signal.SIGKILL)
        except OSError:  # it has ended, and the next turn reads so
            pass

    def _kill(self) -> None:
        for number, worker in list(self._workers.items()):
            kill(worker.pid, signal.SIGKILL)
            self._forget(number)
            reap(worker.pid)

    def _forget(self, number: int) -> None:
        worker = self._workers.pop(number)
        self._watch.end(number)
        self._selector.unregister(worker.line)
        worker.line.close()
