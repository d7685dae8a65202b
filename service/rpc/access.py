"""Before every method of gRPC: who may call it. What is not named needs a key."""

import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import grpc  # type: ignore[import-untyped]  # the wheel has no types
from grpc import aio

from service.access.guard import Guard
from service.access.scopes import scope_of_method
from service.errors import AccessError
from service.rpc.status import status_code
from service.telemetry.observation import Observer

_REQUEST_ID = "x-request-id"


class Access(aio.ServerInterceptor):  # type: ignore[misc]  # untyped
    """Lets a call pass if its key may make it.

    Args:
        guard: knows the keys.
        observer: told of each call that is refused.
        methods: of the protocol: no other is a label of a metric.
    """

    def __init__(self, guard: Guard, observer: Observer, methods: Collection[str]) -> None:
        self._guard = guard
        self._observer = observer
        self._methods = methods

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """Return the handler of the call."""
        scope = scope_of_method(details.method)
        if scope is not None:
            try:
                self._guard.require(_headers(details), scope)
            except AccessError as error:
                return self._refusing(details, error)
        return await continuation(details)

    def _refusing(self, details: Any, error: AccessError) -> Any:
        began = time.perf_counter()
        request_id = self._observer.request_id(_offered_id(details))
        name = details.method.rpartition("/")[2]
        known = name if name in self._methods else "unmatched"

        async def refuse(_messages: Any, context: Any) -> None:
            told = {name.lower(): value for name, value in error.headers.items()}
            try:
                trailing = (*told.items(), (_REQUEST_ID, request_id))
                await context.abort(status_code(type(error)), str(error), trailing)
            finally:
                seconds = time.perf_counter() - began
                self._observer.record(
                    "grpc", name, f"grpc {known}", error.status, request_id, seconds, error
                )

        # A stream is not read before it is asked for a message.
        return grpc.stream_stream_rpc_method_handler(refuse)


def _headers(details: Any) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in details.invocation_metadata
    ]


def _offered_id(details: Any) -> str | None:
    return next((value for name, value in details.invocation_metadata if name == _REQUEST_ID), None)
