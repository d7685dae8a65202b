"""Before every method of gRPC: who may call it. What is not named here needs a key."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc  # type: ignore[import-untyped]  # the wheel has no types
from grpc import aio

from service.access import keys
from service.access.guard import Guard
from service.errors import AccessError
from service.rpc.messages import SERVICE
from service.rpc.status import status_code

# As over HTTP: what looks whether the server lives has no key.
_OPEN = frozenset(
    {
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        f"/{SERVICE}/ServerLive",
        f"/{SERVICE}/ServerReady",
    }
)
_SCOPES: dict[str, keys.Scope] = {
    f"/{SERVICE}/RepositoryModelLoad": "control",
    f"/{SERVICE}/RepositoryModelUnload": "control",
    f"/{SERVICE}/ModelStatistics": "metrics",
}


class Access(aio.ServerInterceptor):  # type: ignore[misc]  # untyped
    """Lets a call pass if its key may make it.

    Args:
        guard: knows the keys.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """Return the handler of the call."""
        if details.method not in _OPEN:
            headers = [
                (name.encode(), value if isinstance(value, bytes) else value.encode())
                for name, value in details.invocation_metadata
            ]
            try:
                self._guard.require(headers, _SCOPES.get(details.method, "predict"))
            except AccessError as error:
                return _refusing(error)
        return await continuation(details)


def _refusing(error: AccessError) -> Any:
    async def refuse(_messages: Any, context: Any) -> None:
        trailing = tuple((name.lower(), value) for name, value in error.headers.items())
        await context.abort(status_code(type(error)), str(error), trailing)

    # A stream is not read before it is asked for a message.
    return grpc.stream_stream_rpc_method_handler(refuse)
