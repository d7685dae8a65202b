"""Decodes bodies off the event loop, in a bounded number of threads and of waiting bodies."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.errors import DeadlineExceeded, QueueFull

Decoded = TypeVar("Decoded")


class Decoder:
    """A pool of threads that decode.

    Args:
        threads: bodies decoded at once.
        max_pending: bodies decoded or waiting; one more is refused at once.
        on_decode: told the seconds that each body took, waiting included.
    """

    def __init__(
        self,
        threads: int,
        max_pending: int,
        on_decode: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._max_pending = max_pending
        self._on_decode = on_decode
        self._pending = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decoder")

    async def decode(self, work: Callable[[], Decoded], deadline: float) -> Decoded:
        """Return what ``work`` returns.

        Args:
            work: holds a body and decodes it; blocks.
            deadline: on the loop's clock.

        Raises:
            QueueFull: too many bodies wait already.
            DeadlineExceeded: not decoded in time; what has not begun never begins.
            ServiceError: as ``work`` says.
        """
        if self._pending >= self._max_pending:
            raise QueueFull(f"{self._pending} bodies wait to be decoded; try again later")
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._pending += 1
        # What is given up stays in the pool's queue until a thread comes by, and with it this
        # frame, by way of the exception: neither may hold the body.
        held = [work]
        del work

        def run() -> Decoded:
            return held.pop()()

        try:
            async with asyncio.timeout_at(deadline):
                return await loop.run_in_executor(self._threads, run)
        except TimeoutError:
            raise DeadlineExceeded("the body was not decoded in time") from None
        finally:
            held.clear()
            self._pending -= 1
            self._on_decode(loop.time() - began)

    def close(self) -> None:
        """Drop what waits; what is in work is let finish."""
        self._threads.shutdown(wait=False, cancel_futures=True)
