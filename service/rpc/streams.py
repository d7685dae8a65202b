"""Streams that look at the server, which end when their clients want: so many at once.

Without a bound of their own they could take the place of every call, and one of them, the watch
of its health, needs no key.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from grpc import StatusCode  # type: ignore[import-untyped]  # the wheel has no types
from grpc_reflection.v1alpha import reflection


class Streams:
    """Places for streams.

    Args:
        most: of them at once.
    """

    def __init__(self, most: int) -> None:
        self._free = most

    @asynccontextmanager
    async def place(self, context: Any) -> AsyncIterator[None]:
        """Hold a place for the time of the block; without one the stream is refused."""
        if not self._free:
            await context.abort(
                StatusCode.RESOURCE_EXHAUSTED, "the server has no stream free; try again later"
            )
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[misc]  # untyped
    """``grpc.reflection.v1alpha.ServerReflection``, so many streams at once.

    Args:
        names: of the services.
        pool: that describes them.
        streams: gives the places.
    """

    def __init__(self, names: tuple[str, ...], pool: Any, streams: Streams) -> None:
        super().__init__(names, pool=pool)
        self._streams = streams

    async def ServerReflectionInfo(  # noqa: N802 -- gRPC's
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[Any]:
        """Answer each question."""
        async with self._streams.place(context):
            async for answer in super().ServerReflectionInfo(request_iterator, context):
                yield answer
