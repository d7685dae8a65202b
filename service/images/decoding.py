"""Decodes bodies off the event loop, in a bounded number of threads and of waiting bodies."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from service.batching.runners import Outcome, Runners, attempt
from service.errors import DeadlineExceeded, QueueFull, ShuttingDown
from service.images.room import Room

Decoded = TypeVar("Decoded")

# uvloop's timers count whole milliseconds: one that is shorter fires at once.
_TICK_S = 1e-3


class Decoder:
    """A pool of threads that decode; they start with the first body.

    The threads take the next body themselves: a busy event loop keeps none of them waiting.

    Args:
        threads: bodies decoded at once.
        max_pending: bodies decoded or waiting; one more is refused at once.
        room: of the images in all the threads; None does not bound them.
    """

    def __init__(self, threads: int, max_pending: int, room: Room | None = None) -> None:
        self.room = room
        self._threads = threads
        self._max_pending = max_pending
        self._pending: set[_Call[Any]] = set()
        self._runners: Runners[Any] | None = None
        self._closed = False

    async def decode(self, work: Callable[[], Decoded], deadline: float) -> Decoded:
        """Return what ``work`` returns.

        Args:
            work: holds a body and decodes it; blocks.
            deadline: on the clock of ``time.monotonic``.

        Raises:
            QueueFull: too many bodies wait already.
            DeadlineExceeded: not decoded in time; what has not begun never begins.
            ShuttingDown: the pool is closed.
            ServiceError: as ``work`` says.
        """
        self._admit()
        answer: asyncio.Future[Decoded] = asyncio.get_running_loop().create_future()
        call = _Call(work, answer)
        del work  # this frame stays with the exception of a call that is given up
        timer = answer.get_loop().call_later(_seconds_until(deadline), call.expire)
        self._pending.add(call)
        try:
            self._started().start(call.run, call.done)
            return await answer
        finally:
            timer.cancel()
            call.drop()
            self._pending.discard(call)
            # An error knows this frame: if the frame knew it too, both would keep the body, and
            # what was made of it, until the collector comes.
            del answer

    def close(self) -> None:
        """Fail what is not decoded; what is in work is let finish."""
        self._closed = True
        for call in self._pending:
            call.fail(ShuttingDown("the server ended before the body was decoded"))
        if self._runners is not None:
            self._runners.close()

    def _admit(self) -> None:
        if self._closed:
            raise ShuttingDown("the server is shutting down")
        if len(self._pending) >= self._max_pending:
            raise QueueFull(f"{len(self._pending)} bodies wait to be decoded; try again later")

    def _started(self) -> Runners[Any]:
        if self._runners is None:
            self._runners = Runners(self._threads, name="decoder")
        return self._runners


class _Call(Generic[Decoded]):
    """One body on its way; once it is dropped, what is left of it in the queue holds no body.

    Nor does it hold the answer then: an error in it knows, by its traceback, the thread's call.
    """

    def __init__(self, work: Callable[[], Decoded], answer: "asyncio.Future[Decoded]") -> None:
        self._answer: asyncio.Future[Decoded] | None = answer
        self._work: Callable[[], Decoded] | None = work

    def run(self) -> Outcome[Decoded]:
        """Decode, in a thread; what was dropped is passed over."""
        work, self._work = self._work, None
        if work is None:
            return Outcome((), None, 0.0, 0.0)
        return attempt(lambda _: (work(),), (None,))

    def done(self, outcome: Outcome[Decoded]) -> None:
        """Answer, unless the call was given up meanwhile."""
        if outcome.error is not None:
            self.fail(outcome.error)
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(outcome.results[0])

    def expire(self) -> None:
        self.fail(DeadlineExceeded("the body was not decoded in time"))

    def fail(self, error: Exception) -> None:
        self._work = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def drop(self) -> None:
        """Never begin, if it has not begun, and answer nobody."""
        self._work = self._answer = None


def _seconds_until(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded("the body was not decoded in time")
    return max(left, _TICK_S)
