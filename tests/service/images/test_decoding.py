"""The decoder is bounded, in threads, in what waits and in time."""

import asyncio
import functools
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pytest

from service.errors import DeadlineExceeded, InvalidImage, QueueFull, ShuttingDown
from service.images.decoding import Decoder

pytestmark = pytest.mark.anyio

PATIENCE_S = 20


class HeldDecoding:
    """Decodes once it is let go."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.images: list[bytes] = []

    def __call__(self, image: bytes) -> list[int]:
        self.images.append(image)
        self.began.release()
        assert self.go.wait(PATIENCE_S)
        return list(image)


@contextmanager
def decoder(decode: HeldDecoding) -> Iterator["Pool"]:
    pool = Decoder(threads=1, max_pending=2)
    try:
        yield Pool(pool, decode)
    finally:
        pool.close()


class Pool(NamedTuple):
    """A decoder and what it does."""

    decoder: Decoder
    decode: HeldDecoding


def later() -> float:
    return time.monotonic() + PATIENCE_S


def start(pool: Pool, image: bytes, deadline: float | None = None) -> "asyncio.Task[list[int]]":
    work = functools.partial(pool.decode, image)
    return asyncio.ensure_future(pool.decoder.decode(work, deadline or later()))


async def test_images_are_decoded_off_the_event_loop() -> None:
    decode = HeldDecoding()
    with decoder(decode) as pool:
        task = start(pool, b"\1")
        await asyncio.to_thread(decode.began.acquire)
        assert not task.done(), "the loop turns while the image is in work"
        decode.go.set()
        assert await task == [1]


async def test_one_image_too_many_is_refused_at_once() -> None:
    decode = HeldDecoding()
    with decoder(decode) as pool:
        tasks = [start(pool, b"\1"), start(pool, b"\2")]
        await asyncio.to_thread(decode.began.acquire)
        with pytest.raises(QueueFull, match="2 bodies wait"):
            await start(pool, b"\3")
        decode.go.set()
        assert [await each for each in tasks] == [[1], [2]]
        assert await start(pool, b"\4") == [4]


async def test_an_image_past_its_deadline_is_given_up_and_never_decoded() -> None:
    decode = HeldDecoding()
    with decoder(decode) as pool:
        first = start(pool, b"\1")
        await asyncio.to_thread(decode.began.acquire)
        with pytest.raises(DeadlineExceeded):
            await start(pool, b"\2", deadline=time.monotonic() + 0.01)
        decode.go.set()
        await first
        await start(pool, b"\3")
    assert decode.images == [b"\1", b"\3"]


async def test_an_image_that_is_given_up_while_it_waits_is_held_no_longer() -> None:
    class Body:
        """Bytes that can be watched."""

        def decode(self) -> None:
            raise AssertionError("it is never decoded")

    decode = HeldDecoding()
    with decoder(decode) as pool:
        first = start(pool, b"\1")
        await asyncio.to_thread(decode.began.acquire)
        body = Body()
        left = weakref.ref(body)
        waiting = asyncio.ensure_future(pool.decoder.decode(body.decode, later()))
        del body
        await asyncio.sleep(0)
        assert left() is not None
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        del waiting
        gc.collect()  # a cancelled task and its frames refer to each other
        assert left() is None, "the thread is still busy with the first"
        decode.go.set()
        await first


async def test_a_body_that_is_late_already_is_refused() -> None:
    decode = HeldDecoding()
    with decoder(decode) as pool, pytest.raises(DeadlineExceeded):
        await start(pool, b"\1", deadline=time.monotonic())
    assert decode.images == []


async def test_a_busy_event_loop_keeps_no_thread_waiting() -> None:
    decode = HeldDecoding()
    decode.go.set()
    with decoder(decode) as pool:
        tasks = [start(pool, b"\1"), start(pool, b"\2")]
        await asyncio.sleep(0)
        for _ in tasks:
            assert decode.began.acquire(timeout=PATIENCE_S)  # blocks the loop
        assert not any(task.done() for task in tasks)
        assert [await each for each in tasks] == [[1], [2]]


async def test_as_many_bodies_are_decoded_at_once_as_there_are_threads() -> None:
    decode = HeldDecoding()
    pool = Pool(Decoder(threads=2, max_pending=2), decode)
    tasks = [start(pool, b"\1"), start(pool, b"\2")]
    for _ in tasks:
        assert await asyncio.to_thread(decode.began.acquire, timeout=PATIENCE_S)
    decode.go.set()
    assert [await each for each in tasks] == [[1], [2]]
    pool.decoder.close()


async def test_an_error_reaches_the_caller_and_the_thread_lives_on() -> None:
    pool = Decoder(threads=1, max_pending=1)
    with pytest.raises(InvalidImage, match="damaged"):
        await pool.decode(damaged, later())
    assert await pool.decode(lambda: 7, later()) == 7
    pool.close()


def damaged() -> None:
    raise InvalidImage("damaged")


async def test_what_waits_at_the_end_fails_and_what_comes_after_it_too() -> None:
    decode = HeldDecoding()
    with decoder(decode) as pool:
        tasks = [start(pool, b"\1"), start(pool, b"\2")]
        await asyncio.to_thread(decode.began.acquire)
        pool.decoder.close()
        for task in tasks:
            with pytest.raises(ShuttingDown):
                await task
        with pytest.raises(ShuttingDown):
            await start(pool, b"\3")
        decode.go.set()
    assert decode.images == [b"\1"]
