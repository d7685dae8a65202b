"""Decodes images off the event loop, in a bounded number of threads and of waiting images."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from service.errors import DeadlineExceeded, QueueFull
from service.manifest import ImageInput

Decode = Callable[[bytes, ImageInput], NDArray[np.float32]]


class ImageDecoder:
    """A pool of threads in front of a decode function.

    Args:
        decode: from bytes and the manifest's input to a tensor; blocks.
        threads: images decoded at once.
        max_pending: images decoded or waiting; one more is refused at once.
        on_decode: told the seconds that each image took, waiting included.
    """

    def __init__(
        self,
        decode: Decode,
        threads: int,
        max_pending: int,
        on_decode: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._decode = decode
        self._max_pending = max_pending
        self._on_decode = on_decode
        self._pending = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decoder")

    async def decode(self, image: bytes, spec: ImageInput, deadline: float) -> NDArray[np.float32]:
        """Return the tensor of one image, shape (channels, height, width).

        Raises:
            QueueFull: too many images wait already.
            DeadlineExceeded: not decoded by ``deadline``, on the loop's clock.
            ContentError: as the decode function says.
        """
        if self._pending >= self._max_pending:
            raise QueueFull(f"{self._pending} images are waiting; try again later")
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._pending += 1
        try:
            async with asyncio.timeout_at(deadline):
                return await loop.run_in_executor(self._threads, self._decode, image, spec)
        except TimeoutError:
            raise DeadlineExceeded("the image was not decoded in time") from None
        finally:
            self._pending -= 1
            self._on_decode(loop.time() - began)

    def close(self) -> None:
        """Drop what waits; images in work are let finish."""
        self._threads.shutdown(wait=False, cancel_futures=True)
