"""The decoder pool is bounded, in threads, in what waits and in time."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from service.decoding import ImageDecoder
from service.errors import DeadlineExceeded, QueueFull

pytestmark = pytest.mark.anyio

PATIENCE_S = 20


class HeldDecoding:
    """A decode function that waits until it is let go."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.images: list[bytes] = []

    def __call__(self, image: bytes, _spec: Any) -> Any:
        self.images.append(image)
        self.began.release()
        assert self.go.wait(PATIENCE_S)
        return np.frombuffer(image, np.uint8).astype(np.float32)


@contextmanager
def decoder(decode: Any, **bounds: Any) -> Iterator[ImageDecoder]:
    pool = ImageDecoder(decode, **({"threads": 1, "max_pending": 2} | bounds))
    try:
        yield pool
    finally:
        pool.close()


def later() -> float:
    return asyncio.get_running_loop().time() + PATIENCE_S


def start(pool: ImageDecoder, image: bytes, deadline: float | None = None) -> "asyncio.Task[Any]":
    spec: Any = None
    return asyncio.ensure_future(pool.decode(image, spec, deadline or later()))


async def test_images_are_decoded_off_the_event_loop() -> None:
    decode = HeldDecoding()
    with decoder(decode) as pool:
        task = start(pool, b"\1")
        await asyncio.to_thread(decode.began.acquire)
        assert not task.done(), "the loop turns while the image is in work"
        decode.go.set()
        assert (await task).tolist() == [1]


async def test_one_image_too_many_is_refused_at_once() -> None:
    decode = HeldDecoding()
    with decoder(decode) as pool:
        tasks = [start(pool, b"\1"), start(pool, b"\2")]
        await asyncio.to_thread(decode.began.acquire)
        with pytest.raises(QueueFull, match="2 images are waiting"):
            await start(pool, b"\3")
        decode.go.set()
        assert [(await each).tolist() for each in tasks] == [[1], [2]]
        assert (await start(pool, b"\4")).tolist() == [4]


async def test_an_image_past_its_deadline_is_given_up_and_never_decoded() -> None:
    decode = HeldDecoding()
    with decoder(decode) as pool:
        first = start(pool, b"\1")
        await asyncio.to_thread(decode.began.acquire)
        with pytest.raises(DeadlineExceeded):
            await start(pool, b"\2", deadline=asyncio.get_running_loop().time())
        decode.go.set()
        await first
        await start(pool, b"\3")
    assert decode.images == [b"\1", b"\3"]


async def test_it_tells_how_long_each_image_took() -> None:
    told: list[float] = []
    decode = HeldDecoding()
    decode.go.set()
    pool = ImageDecoder(decode, 1, 1, told.append)
    await start(pool, b"\1")
    pool.close()
    assert len(told) == 1
    assert told[0] >= 0
