"""Several workers behind one port, and the process above them.

The process above binds the sockets, forks the workers, and from then on starts a worker anew
that dies or hangs, passes stops and commands on, and serves nothing itself. What it has loaded the
workers share until they write to it: a fifth less memory, and a worker is there at once. It
may load whatever starts no thread, since a fork takes only one along. The line to each worker
is a pair of sockets, one message of JSON a line: whichever side dies, the other reads the end.

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

from service.access.secrets import SecretFiles
from service.errors import StartError
from service.machine.memory import settle
from service.machine.plan import Plan
from service.processes.backoff import Backoff
from service.processes.forking import caught_signals, fork, reap
from service.processes.link import Link
from service.processes.listeners import control_port, grpc_ports, listeners
from service.processes.relay import Message, Relay
from service.processes.server import Announce, work
from service.processes.watch import BEAT_S, Watch
from service.repository.hub import Command
from service.settings import Settings
from service.telemetry.board import Board
from service.telemetry.logs import configure_logs
from service.telemetry.metrics import Metrics

log = structlog.get_logger()

Work = Callable[[int, socket.socket, Sequence[Command]], int]

# Who connects to the socket of a dead worker waits for the next one, but no longer than this
# and a start; then the socket is closed to them, and the kernel sends them to the others.
_LONGEST_HOLD_S = 1.0

# For what comes after the grace time: models are freed, threads are joined.
_END_S = 10.0

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


def run(settings: Settings, announce: Announce, plan: Plan) -> None:
    """Serve with several workers until SIGTERM or SIGINT, then drain and return.

    Args:
        settings: the operator's.
        announce: told the lines that a person wants to see once all workers are ready.
        plan: of processes and threads.

    Raises:
        StartError: the address cannot be had, or a worker could not start.
    """
    configure_logs(settings.log_format, settings.log_level)
    log.info("starting", plan=plan.reason)
    secrets = SecretFiles(settings)
    with (
        grpc_ports(settings, shared=True) as settings,
        control_port(settings) as (settings, control),
        listeners(settings.host, settings.port, plan.workers) as sockets,
    ):
        board = Board(plan.workers)
        settle()  # before the fork: the collector would write to what the workers share
        grace_s = settings.drain_delay_s + settings.grace_s + _END_S

        def work_as(number: int, end: socket.socket, history: Sequence[Command]) -> int:
            link = Link(end, history)
            own = [sockets[number], *control]
            return work(settings, plan, Metrics(board, number), own, link, secrets.current)

        watch = Watch(board.slots, settings.worker_timeout_s)
        Supervisor(sockets, board, work_as, announce, grace_s, watch, secrets.look).run()


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
        each_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._listeners = listeners
        self._board = board
        self._work = work
        self._announce = announce
        self._grace_s = grace_s
        self._watch = watch
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
        due = min([*self._restarts.values(), self._kill_at])
        wait_s = min(max(0.0, due - time.monotonic()), BEAT_S)
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
        if delay > _LONGEST_HOLD_S and self._listeners.count(self._listeners[number]) == 1:
            with suppress(OSError):
                self._listeners[number].shutdown(socket.SHUT_RDWR)  # the successor listens anew
        return delay

    @property
    def _stopping(self) -> bool:
        return self._kill_at < float("inf")

    def _stop(self) -> None:
        """Let the workers drain; what the second and third signal mean is their matter."""
        if not self._stopping:
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
