"""Around every method: request id, errors to statuses, counts, log line, trailing metadata."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # the wheel has no types
import structlog
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # nor has this
from grpc import aio

from service.errors import BodyTimeout, InternalError, InvalidRequest, RunError, ServiceError
from service.repository.in_use import InUse
from service.rpc.fields import check_parts
from service.rpc.messages import SERVICE, Message
from service.rpc.status import status_code
from service.telemetry.conventions import rpc_span
from service.telemetry.observation import CLIENT_CLOSED_REQUEST, Observer
from service.telemetry.timing import Timing

if TYPE_CHECKING:
    from service.telemetry.spans import Trace, Tracing

log = structlog.get_logger()

REQUEST_ID = "x-request-id"
SERVER_TIMING = "server-timing"

# Calls are counted under the HTTP status of what happened, so that both roads add up.
_OK = 200
_INFERENCE = "ModelInfer"

_UNEXPECTED = InternalError("an unexpected error; the log has it under the request id")


class Call:
    """What a client sent beside its message, and what goes back beside the answer.

    Args:
        context: gRPC's.
        request_id: the client's or a new one.
    """

    def __init__(self, context: Any, request_id: str) -> None:
        self.request_id = request_id
        self.timing = Timing()
        self.trace: Trace | None = None
        self._context = context

    @property
    def seconds_left(self) -> float | None:
        """How long the client waits yet; None if it named no deadline."""
        seconds: float | None = self._context.time_remaining()
        return seconds

    def begin_trace(self, tracing: "Tracing") -> None:
        """Begin a trace, which the lines of the log name from here on."""
        metadata = functools.partial(_metadata, self._context)
        self.trace = tracing.begin(metadata, self.timing)
        structlog.contextvars.bind_contextvars(trace_id=self.trace.trace_id)

    def end_trace(self, method: str, status: int, error: ServiceError | None) -> None:
        """End the trace, if there is one."""
        if self.trace is None:
            return
        structlog.contextvars.unbind_contextvars("trace_id")
        code = _code(status, error)
        name, attributes = rpc_span(method, code.name)
        self.trace.end(name, attributes, status, self.request_id, error)

    def trailing_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what is sent behind an answer or an error."""
        timing = self.timing.server_timing().decode("ascii")
        return (REQUEST_ID, self.request_id), (SERVER_TIMING, timing)


Method = Callable[[Message, Call], Awaitable[Message]]
"""Answers a message, or raises a ``ServiceError``."""


def handler(
    observer: Observer,
    calls: InUse,
    name: str,
    request: Message,
    method: Method,
    patience_s: float,
) -> Any:
    """Return the handler of one method, for a gRPC server.

    On the wire a unary call is a stream of one message. As that it is read here: gRPC waits for
    ever for the message of a unary call, which has a place among the calls meanwhile.

    Args:
        observer: told of each call.
        calls: entered by each call.
        name: the method's.
        request: the class of its messages.
        method: answers one.
        patience_s: seconds from the head of a call to the end of its message.
    """
    is_traced = name == _INFERENCE

    async def answer(context: Any, call: Call) -> bytes:
        body = await _read(context, patience_s)
        with calls:
            message = await method(_parse(request, body), call)
        answer: bytes = message.SerializeToString()
        return answer

    async def serve(_messages: Any, context: Any) -> bytes:
        began = time.perf_counter()
        call = Call(context, observer.request_id(_metadata(context, REQUEST_ID)))
        if is_traced and observer.tracing is not None:
            call.begin_trace(observer.tracing)
        status, answered, ours, failure = CLIENT_CLOSED_REQUEST, b"", None, None
        try:
            answered = await answer(context, call)
            status = _OK
        except Exception as error:  # noqa: BLE001 -- it is told, or it is logged
            ours = _ours(error, call.request_id)
            status, *failure = ours.status, status_code(type(ours)), str(ours)
        finally:
            seconds = time.perf_counter() - began
            route = f"grpc {name}"
            observer.record("grpc", name, route, status, call.request_id, seconds, ours, call.trace)
            call.end_trace(f"{SERVICE}/{name}", status, ours)
            ours = None  # it knows the message, as below
        # Behind the error, which knows the message: gRPC keeps what was raised here, and with it
        # everything that it knows, until the collector comes.
        if failure is not None:
            await context.abort(*failure, call.trailing_metadata())
        context.set_trailing_metadata(call.trailing_metadata())
        return answered

    # Bytes in and out: a message that cannot be read is told in our words, and counted.
    return grpc.stream_unary_rpc_method_handler(serve)


def _metadata(context: Any, name: str) -> str | None:
    for known, value in context.invocation_metadata():
        if known == name:
            found: str = value
            return found
    return None


def _code(status: int, error: ServiceError | None) -> Any:
    if error is not None:
        return status_code(type(error))
    return grpc.StatusCode.OK if status == _OK else grpc.StatusCode.CANCELLED


async def _read(context: Any, patience_s: float) -> bytes:
    try:
        async with asyncio.timeout(patience_s):
            body: bytes = await context.read()
    except TimeoutError:
        raise BodyTimeout(f"the message was not there after {patience_s:g} seconds") from None
    if body is aio.EOF:
        raise InvalidRequest("the call has no message")
    return body


def _parse(request: Message, body: bytes) -> Message:
    check_parts(body)
    try:
        return request.FromString(body)
    except DecodeError:
        raise InvalidRequest("the message is not one of this method") from None


def _ours(error: Exception, request_id: str) -> ServiceError:
    """Return the error that a client is told of; the others stay in the log."""
    if not isinstance(error, ServiceError):
        log.error("unexpected error", request_id=request_id, exc_info=error)
        return _UNEXPECTED
    if isinstance(error, RunError):
        log.error(
            "run failed",
            code=error.code,
            reason=str(error),
            request_id=request_id,
            cause=repr(error.__cause__),
        )
    return error
