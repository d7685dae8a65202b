"""``grpc.health.v1.Health``: serving, until the service drains.

The servicer that comes with gRPC lets a watcher hold up the end for all of the grace time.
https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc import StatusCode  # type: ignore[import-untyped]  # the wheel has no types
from grpc_health.v1 import health_pb2

from service.rpc.streams import Streams

Message = Any

_Answer = health_pb2.HealthCheckResponse


class Health:
    """Answers for the server as a whole, whose name is empty, and for one service of it.

    Args:
        service: the name of the service.
        draining: set once no new requests should be sent.
        streams: gives the places of those that watch.
    """

    def __init__(self, service: str, draining: asyncio.Event, streams: Streams) -> None:
        self._streams = streams
        self._names = {"", service}
        self._draining = draining
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Let those that watch go."""
        self._draining.set()
        self._ended.set()

    async def Check(self, request: Message, context: Any) -> Message:  # noqa: N802 -- gRPC's
        """Say whether new requests should be sent here."""
        if request.service not in self._names:
            await context.abort(StatusCode.NOT_FOUND, "the server has no service of this name")
        return self._status()

    async def List(self, _request: Message, _context: Any) -> Message:  # noqa: N802 -- gRPC's
        """Say it of everything that has a name."""
        return health_pb2.HealthListResponse(
            statuses={name: self._status() for name in self._names}
        )

    async def Watch(  # noqa: N802 -- gRPC's
        self, request: Message, context: Any
    ) -> AsyncIterator[Message]:
        """Say it now, and again when it changes."""
        async with self._streams.place(context):
            if request.service not in self._names:
                yield _Answer(status=_Answer.SERVICE_UNKNOWN)
            else:
                told = self._status()
                yield told
                await self._draining.wait()
                if told != self._status():  # it may have changed while that was told
                    yield self._status()
            await self._ended.wait()

    def _status(self) -> Message:
        leaves = self._draining.is_set()
        return _Answer(status=_Answer.NOT_SERVING if leaves else _Answer.SERVING)
