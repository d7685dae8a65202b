"""The answer to a request of the express lane: it takes the outputs, and is sent in one write."""

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

import structlog
from structlog.contextvars import bound_contextvars

from service.api.failures import answer_of
from service.artifact.signature import Tensors
from service.batching.waiting import Answered
from service.errors import AccessError, InternalError, ServiceError
from service.inference.predictor import Predictor, Waiter
from service.repository.entries import Entry
from service.repository.in_use import InUse
from service.telemetry.conventions import http_span
from service.telemetry.observation import CLIENT_CLOSED_REQUEST, Observer
from service.telemetry.timing import Timing
from service.wire.encodings import compress
from service.wire.inference_request import InferenceRequest
from service.wire.inference_response import write_response

if TYPE_CHECKING:
    from service.telemetry.spans import Trace

log = structlog.get_logger()

_OK = 200

_UNEXPECTED = InternalError("an unexpected error; the log has it under the request id")

_NO_TRACE = nullcontext()

_JSON = b"content-type: application/json\r\n"
_BINARY = b"content-type: application/octet-stream\r\ninference-header-content-length: %d\r\n"
_CODING = b"content-encoding: %b\r\nvary: accept-encoding\r\n"
_HEAD = (
    b"content-length: %d\r\nserver-timing: %b\r\n"
    b"x-content-type-options: nosniff\r\nx-request-id: %b\r\n"
)


class Reply(Protocol):
    """Where an answer goes: a connection with one request that waits."""

    @property
    def disconnected(self) -> bool:
        """Whether the client is gone."""

    def waits(self, gone: Callable[[], None]) -> None:
        """Wait for an answer, and call ``gone`` if the client goes away before it is there."""

    def send(self, status: int, head: bytes, body: bytes) -> None:
        """Send an answer; ``head`` is the lines of its headers."""


class ExpressAnswer:
    """Takes the outputs of a run, and sends what the request asked of them."""

    __slots__ = (
        "_asked",
        "_entry",
        "_error",
        "_in_flight",
        "_labels",
        "_observer",
        "_predictor",
        "_reply",
        "_route",
        "_sent",
        "_timing",
        "_trace",
        "_url",
        "_waiter",
        "fields",
    )

    def __init__(
        self,
        observer: Observer,
        reply: Reply,
        url: bytes,
        route: str,
        fields: Mapping[bytes, bytes],
    ) -> None:
        self.fields = fields
        self._observer = observer
        self._reply = reply
        self._url = url
        self._route = route
        self._timing = timing = Timing()
        self._predictor: Predictor | None = None
        self._waiter: Waiter | None = None
        self._sent = False
        self._error: ServiceError | None = None
        tracing = observer.tracing
        self._trace = None if tracing is None else tracing.begin(self._text, timing)

    def admit(self, entry: Entry, predictor: Predictor, asked: InferenceRequest) -> None:
        """Take what runs: from here on there is a model that counts the request."""
        timing = self._timing
        timing.decode_s = time.monotonic() - timing.decode_began
        self._entry, self._predictor, self._asked = entry, predictor, asked
        timing.rows = predictor.rows(asked.inputs)
        manifest = predictor.model.manifest
        self._labels = manifest.labels if manifest else None

    def wait(self, waiter: Waiter, in_flight: InUse) -> None:
        """Be in flight until the answer is sent, or nobody is there to take it."""
        self._waiter, self._in_flight = waiter, in_flight
        self._entry.in_use.enter()
        in_flight.enter()
        self._reply.waits(self._leave)

    def done(self) -> bool:
        """Whether nobody waits any more."""
        return self._sent or self._reply.disconnected

    def set_result(self, answered: Answered[Tensors]) -> None:
        """Send the outputs."""
        timing = self._timing
        outputs, timing.queue_s, timing.run = answered
        timing.infer_s = timing.run[2]
        try:
            body, lines = self._body(outputs)
        except Exception as error:  # noqa: BLE001 -- its batch mates are still to be answered
            self.set_exception(error)
        else:
            self._send(_OK, lines, body, self._request_id())

    def set_exception(self, error: Exception) -> None:
        """Send what went wrong."""
        request_id, trace = self._request_id(), self._trace
        with _NO_TRACE if trace is None else bound_contextvars(trace_id=trace.trace_id):
            if not isinstance(error, ServiceError):
                log.error("unexpected error", exc_info=error, request_id=request_id)
                error = _UNEXPECTED
            told = answer_of(error, self._url.decode(), request_id)
        self._error = error
        lines = b"".join([b"%b: %b\r\n" % each for each in told.raw_headers])
        self._send(told.status, lines, told.body, request_id)

    def _body(self, outputs: Tensors) -> tuple[bytes, bytes]:
        """Return the answer's body and the lines of the headers that say what it is."""
        entry = self._entry
        body, length = write_response(entry.name, entry.version, self._asked, outputs, self._labels)
        lines = _JSON if length is None else _BINARY % length
        accepted = self.fields.get(b"accept-encoding")
        if accepted is None:
            return body, lines
        body, coding = compress(body, accepted.decode("latin-1"))
        return body, lines if coding is None else lines + _CODING % coding.encode()

    def _send(self, status: int, lines: bytes, body: bytes, request_id: str) -> None:
        self._sent = True
        self._arrive()
        head = lines + _HEAD % (len(body), self._timing.server_timing(), request_id.encode())
        self._reply.send(status, head, body)
        self._record(status, request_id)

    def _leave(self) -> None:
        """Cost no run any more: the client is gone."""
        predictor, waiter = self._predictor, self._waiter
        if predictor is not None and waiter is not None:
            self._sent = True
            self._arrive()
            predictor.withdraw(waiter)
            self._record(CLIENT_CLOSED_REQUEST, self._request_id())

    def _arrive(self) -> None:
        """Be in flight no more."""
        if self._waiter is not None:
            self._waiter = None
            self._entry.in_use.leave()
            self._in_flight.leave()

    def _record(self, status: int, request_id: str) -> None:
        timing, trace = self._timing, self._trace
        if self._predictor is not None:
            self._predictor.metrics.request(timing, timing.rows, status == _OK)
        seconds = time.monotonic() - timing.decode_began
        path = self._url.decode()
        self._observer.record(
            "POST", path, self._route, status, request_id, seconds, self._error, trace
        )
        if trace is not None:
            self._end(trace, path, status, request_id)

    def _end(self, trace: "Trace", path: str, status: int, request_id: str) -> None:
        """End the trace, unless it is of someone who may not ask."""
        if isinstance(self._error, AccessError):
            return
        if self._predictor is not None:
            trace.model = self._entry.name, self._entry.version
        tracing = self._observer.tracing
        scheme = tracing.scheme if tracing else "http"
        name, attributes = http_span(scheme, "POST", path, self._route, status)
        trace.end(name, attributes, status, request_id, self._error)

    def _request_id(self) -> str:
        offered = self.fields.get(b"x-request-id")
        return self._observer.request_id(None if offered is None else offered.decode("latin-1"))

    def _text(self, name: str) -> str | None:
        value = self.fields.get(name.encode())
        return None if value is None else value.decode("latin-1")
