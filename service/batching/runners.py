"""One run, and the threads that do runs where the event loop does not do them itself."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

Run = Callable[[Sequence[Item]], Sequence[Result]]
"""Answers a list of items, one result each, in their order; blocks."""


class Outcome(NamedTuple, Generic[Result]):
    """How a run went, and from when to when; with an error there are no results."""

    results: Sequence[Result]
    error: Exception | None
    began: float
    ended: float


def attempt(run: Run[Item, Result], items: Sequence[Item]) -> Outcome[Result]:
    """Run, and return whatever comes of it."""
    began = time.monotonic()
    try:
        results = run(items)
    except Exception as error:  # noqa: BLE001 -- whatever a model raises, the batcher lives on
        return Outcome((), error, began, time.monotonic())
    if len(results) != len(items):
        wrong = ValueError(f"a run of {len(items)} items gave {len(results)} results")
        return Outcome((), wrong, began, time.monotonic())
    return Outcome(results, None, began, time.monotonic())


class Runners(Generic[Result]):
    """A fixed number of threads; made inside a running event loop.

    A queue on the way there and ``call_soon_threadsafe`` on the way back are half the price of
    ``run_in_executor``, which makes two futures of every call: `benchmarks/batching.py`.

    Args:
        threads: runs at once.
        name: of the threads, for whoever looks at the process.
    """

    def __init__(self, threads: int, name: str = "runner") -> None:
        self.threads = threads
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job[Result] | None] = SimpleQueue()
        # Daemons: a run that cannot be ended does not keep the process from ending.
        self._threads = [
            Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def start(
        self, work: Callable[[], Outcome[Result]], done: Callable[[Outcome[Result]], None]
    ) -> None:
        """Let a thread do the work, and hand what it returns to ``done`` on the event loop.

        Args:
            work: raises nothing.
            done: not called if the loop is closed by then.
        """
        self._jobs.put((work, done))

    def close(self) -> None:
        """End each thread after the work that it has; waits for none."""
        for _ in range(self.threads):
            self._jobs.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait, after ``close``, until the threads have ended; blocks for no longer than said."""
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            outcome = work()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(done, outcome)
            del job, work, done, outcome  # an idle thread holds nobody's tensors


_Job = tuple[Callable[[], Outcome[Result]], Callable[[Outcome[Result]], None]]
