"""A gRPC server that does not read the names of methods that it has not.

grpc.aio, from 1.84 on, reads the path of such a call as UTF-8 outside of everything that catches
errors (``_server_main_loop``). One call of other bytes, which needs no key, is the end of the loop:
no connection is taken any more, and what the core still writes to has been freed. Here these calls
are answered before they come there.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from grpc import aio  # type: ignore[import-untyped]  # the wheel has no types
from grpc._cython import cygrpc  # type: ignore[import-untyped]  # nor has this

# Whoever looks at the calls is told this in place of what a client sent.
UNKNOWN = "/unknown/unknown"


def make_server(interceptors: Sequence[aio.ServerInterceptor], **options: Any) -> aio.Server:
    """Return what ``grpc.aio.server`` returns, if all its methods are registered ones.

    Args:
        interceptors: asked before every call, one of an unknown method too.
        options: as ``grpc.aio.server`` takes them.
    """

    class Loop(cygrpc.AioServer):  # type: ignore[misc]  # untyped
        """The library's own, but for the calls that are of no registered method."""

        def _make_request_call_future(self, method: bytes | None) -> Any:
            if method is not None:
                return super()._make_request_call_future(method)
            return asyncio.get_running_loop().create_task(self._refuse_calls())

        async def _refuse_calls(self) -> None:
            loop = asyncio.get_running_loop()
            nothing = cygrpc._MethodResolver([], {})
            under_way = set()
            while True:  # until the end of the server is raised
                state = await self._request_call()
                answer = cygrpc._handle_rpc(
                    UNKNOWN, nothing, tuple(interceptors), state, loop, False
                )
                task = loop.create_task(cygrpc._schedule_rpc_coro(answer, state, loop, UNKNOWN))
                under_way.add(task)
                task.add_done_callback(under_way.discard)

    # The class that is made is no argument of the function that makes it.
    own, cygrpc.AioServer = cygrpc.AioServer, Loop
    try:
        return aio.server(interceptors=interceptors, **options)
    finally:
        cygrpc.AioServer = own
