"""The hub in the middle of the workers: passes commands on and collects the answers.

    ask       a worker's id for it, command   from a worker
    do        number, command                 to every worker that is ready
    did       number, answer                  from each of them
    answers   the worker's id, answers        to the worker that asked

It does no I/O: it is told what a worker sent, and says what is to be sent to which.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from service.repository.hub import Answer, Command

log = structlog.get_logger()

Message = dict[str, Any]
Send = Callable[[int, Message], None]

# Longer than the load of a model takes; a worker that hangs holds up no answer for good.
PATIENCE_S = 600.0


@dataclass
class _Asked:
    """A command that workers are at; a worker's answer is None until it comes."""

    by: int
    id: int
    deadline: float
    answers: dict[int, Answer | None]


class Relay:
    """Passes commands on.

    Args:
        send: sends a message to a worker.
        clock: monotonic seconds.
    """

    def __init__(self, send: Send, clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._clock = clock
        self._ready: set[int] = set()
        self._asked: dict[int, _Asked] = {}
        self._number = 0
        self._history: dict[tuple[str, ...], Command] = {}

    def joined(self, worker: int) -> None:
        """Ask a worker from now on; what was commanded before it was there it does now."""
        self._ready.add(worker)
        for command in self._history.values():
            self._do(command, [worker])

    def left(self, worker: int) -> None:
        """Ask a worker no longer, and wait no longer for its answers."""
        self._ready.discard(worker)
        self._give_up(lambda asked: worker in asked.answers, {worker}, "ended")

    def expire(self) -> None:
        """Wait no longer for answers that are late."""
        now = self._clock()
        self._give_up(lambda asked: asked.deadline <= now, self._ready, "did not answer in time")

    def ask(self, worker: int, message: Message) -> None:
        """Pass on what a worker asks of all."""
        command: Command = message["command"]
        # Of what was said of a model the latest counts, and of models the order.
        self._history.pop(tuple(command.values()), None)
        self._history[tuple(command.values())] = command
        asked = sorted(self._ready)
        number = self._do(command, asked)
        deadline = self._clock() + PATIENCE_S
        self._asked[number] = _Asked(worker, message["ask"], deadline, dict.fromkeys(asked))

    def did(self, worker: int, message: Message) -> None:
        """Take a worker's answer; one to a command of before its time is nobody's."""
        answer: Answer = message["answer"]
        asked = self._asked.get(message["did"])
        if asked is not None:
            asked.answers[worker] = answer
            self._finish(message["did"], asked)
        elif "error" in answer:
            log.warning("command failed", worker=worker, reason=answer["error"])

    def _do(self, command: Command, workers: Iterable[int]) -> int:
        self._number += 1
        for worker in workers:
            self._send(worker, {"do": self._number, "command": command})
        return self._number

    def _give_up(
        self, concerned: Callable[[_Asked], bool], workers: Iterable[int], reason: str
    ) -> None:
        for number, asked in list(self._asked.items()):
            if concerned(asked):
                for worker in workers:
                    if asked.answers.get(worker, {}) is None:
                        asked.answers[worker] = {"error": f"worker {worker} {reason}"}
                self._finish(number, asked)

    def _finish(self, number: int, asked: _Asked) -> None:
        """Give the answers to the worker that asked, if all are there."""
        if None in asked.answers.values():
            return
        del self._asked[number]
        if asked.by in self._ready:
            self._send(asked.by, {"answers": asked.id, "of": list(asked.answers.values())})
