"""The hub in the middle of the workers: passes commands on and collects the answers.

    ask       a worker's id for it, command   from a worker
    do        number, command                 to one worker that is ready after the other
    did       number, answer                  from each of them
    answers   the worker's id, answers        to the worker that asked
    serve     what was commanded is told      to a worker that has joined

One worker at a time does one command: the load of a model takes the machine's cores, and while
it goes on there is one model more in memory than are served.

It does no I/O: it is told what a worker sent, and says what is to be sent to which.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from service.repository.hub import Answer, Command, subject

log = structlog.get_logger()

Message = dict[str, Any]
Send = Callable[[int, Message], None]

# Longer than the load of a model takes; a worker that hangs holds up no answer for good.
PATIENCE_S = 600.0


@dataclass
class _Asked:
    """A command: who waits for its answers, and who is still to be told of it."""

    by: int
    id: int
    command: Command
    void: Command | None  # by this one, as long as no worker says that this one is
    workers: deque[int] | None = None
    answers: list[Answer] = field(default_factory=list)


@dataclass
class _Turn:
    """What one worker is at."""

    worker: int
    number: int
    deadline: float


class Relay:
    """Passes commands on.

    Args:
        send: sends a message to a worker.
        clock: monotonic seconds.
    """

    def __init__(self, send: Send, clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._clock = clock
        self._joined: set[int] = set()
        self._asked: deque[_Asked] = deque()
        self._turn: _Turn | None = None
        self._number = 0
        self._history: dict[tuple[str, ...], Command] = {}

    @property
    def history(self) -> list[Command]:
        """What was commanded, as far as it still counts."""
        return [*self._history.values()]

    def joined(self, worker: int) -> None:
        """Ask a worker from now on; what was commanded before it was there it does now.

        It does so before it serves: a command that was answered holds in every worker.
        """
        self._joined.add(worker)
        for command in self._history.values():
            self._do(command, worker)
        self._send(worker, {"serve": True})

    def left(self, worker: int) -> None:
        """Ask a worker no longer, and wait no longer for its answer."""
        self._joined.discard(worker)
        if self._turn is not None and self._turn.worker == worker:
            self._end_turn({"error": f"worker {worker} ended"})

    def expire(self) -> None:
        """Wait no longer for an answer that is late."""
        if self._turn is not None and self._turn.deadline <= self._clock():
            self._end_turn({"error": f"worker {self._turn.worker} did not answer in time"})

    def ask(self, worker: int, message: Message) -> None:
        """Pass on what a worker asks of all, after what was asked before."""
        command: Command = message["command"]
        # Of what was said of a model the latest counts, and of models the order.
        void = self._history.pop(subject(command), None)
        self._history[subject(command)] = command
        self._asked.append(_Asked(worker, message["ask"], command, void))
        self._go_on()

    def did(self, worker: int, message: Message) -> None:
        """Take a worker's answer; one to a command of before its time is nobody's."""
        answer: Answer = message["answer"]
        if self._turn is not None and self._turn.number == message["did"]:
            self._end_turn(answer)
        elif "error" in answer:
            log.warning("command failed", worker=worker, reason=answer["error"])

    def _end_turn(self, answer: Answer) -> None:
        self._turn = None
        self._asked[0].answers.append(answer)
        self._go_on()

    def _go_on(self) -> None:
        """Have the next worker do what is first in the queue, if none is at work."""
        while self._asked and self._turn is None:
            asked = self._asked[0]
            if asked.workers is None:
                asked.workers = deque(sorted(self._joined))
            # One that has ended since does the command when it is back.
            while asked.workers and asked.workers[0] not in self._joined:
                asked.workers.popleft()
            if asked.workers:
                worker = asked.workers.popleft()
                # Before it is sent: who cannot be told may be gone before this returns.
                self._turn = _Turn(worker, self._number + 1, self._clock() + PATIENCE_S)
                self._do(asked.command, worker)
            else:
                self._finish(self._asked.popleft())

    def _do(self, command: Command, worker: int) -> None:
        self._number += 1
        self._send(worker, {"do": self._number, "command": command})

    def _finish(self, asked: _Asked) -> None:
        """Give the answers to the worker that asked, if it is still there."""
        if asked.answers and all(answer.get("void") for answer in asked.answers):
            self._take_back(asked)
        if asked.by in self._joined:
            self._send(asked.by, {"answers": asked.id, "of": asked.answers})

    def _take_back(self, asked: _Asked) -> None:
        """Count what counted before a command of which nothing was done."""
        about = subject(asked.command)
        if self._history.get(about) is asked.command:
            del self._history[about]
            if asked.void is not None:
                self._history[about] = asked.void
