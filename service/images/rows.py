"""Image files as rows of a model's input, decoded side by side."""

import asyncio
import functools
from collections.abc import Sequence

import numpy as np

from service.artifact.manifest import ImageInput
from service.artifact.signature import Array
from service.images.decoding import Decoder
from service.images.preprocessing import ImageTensor, image_tensor, small_image_tensor


class ImageRows:
    """Decodes for one model.

    Args:
        decoder: shared by all models.
        max_pixels: of one image.
        scaled: whether large JPEGs may be decoded smaller, near the exact pixels.
    """

    def __init__(self, decoder: Decoder, max_pixels: int, *, scaled: bool) -> None:
        self._decoder = decoder
        self._max_pixels = max_pixels
        self._scaled = scaled

    async def decoded(self, images: Sequence[bytes], spec: ImageInput, deadline: float) -> Array:
        """Return image files as one array, a row each.

        Args:
            images: of formats that are decoded.
            spec: of the input.
            deadline: on the clock of ``time.monotonic``.

        Raises:
            ContentError, CapacityError: as the decoder says of the first that fails.
        """
        if len(images) == 1:
            row: Array = await self._one(images[0], spec, deadline)
            return row[np.newaxis]
        tasks = [asyncio.ensure_future(self._decode(each, spec, deadline)) for each in images]
        try:
            return np.stack(await asyncio.gather(*tasks))
        finally:
            for task in tasks:  # one that fails, or a client that leaves, spares the others
                task.cancel()

    async def _one(self, image: bytes, spec: ImageInput, deadline: float) -> ImageTensor:
        # Here and now, if it is small. Of many small ones the last would hold up the event loop.
        tensor = small_image_tensor(image, spec, self._max_pixels)
        return await self._decode(image, spec, deadline) if tensor is None else tensor

    async def _decode(self, image: bytes, spec: ImageInput, deadline: float) -> ImageTensor:
        decode = functools.partial(
            image_tensor,
            image,
            spec,
            self._max_pixels,
            scaled=self._scaled,
            room=self._decoder.room,
        )
        return await self._decoder.decode(decode, deadline)
