"""What it costs to have a thread decode, and whether threads decode at the same time."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from service.images.decoding import Decoder

_PATIENCE_S = 60.0


class Cost(NamedTuple):
    """Seconds of one call, the mean of many in a row."""

    wall: float
    processor: float
    loop: float
    """Of the processor, on the event loop's own thread."""


def in_place(work: Callable[[], object], calls: int) -> Cost:
    """What the work itself takes, where it arrives."""
    began = _now()
    for _ in range(calls):
        work()
    return _since(began, calls)


def through_the_pool(work: Callable[[], object], calls: int) -> Cost:
    """The same work in the decoder's thread, one call after the other."""

    async def every() -> Cost:
        decoder = Decoder(threads=1, max_pending=1)
        await decoder.decode(work, time.monotonic() + _PATIENCE_S)
        began = _now()
        for _ in range(calls):
            await decoder.decode(work, time.monotonic() + _PATIENCE_S)
        cost = _since(began, calls)
        decoder.close()
        return cost

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(every())


def rate(work: Callable[[], object], threads: int, calls: int) -> float:
    """Calls a second of so many threads, by the clock on the wall."""
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        for done in [pool.submit(work) for _ in range(calls)]:
            done.result()
        return calls / (time.perf_counter() - began)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 -- what the server runs on, except on Windows
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _now() -> Cost:
    return Cost(time.perf_counter(), time.process_time(), time.thread_time())


def _since(began: Cost, calls: int) -> Cost:
    return Cost(*((now - then) / calls for now, then in zip(_now(), began, strict=True)))
