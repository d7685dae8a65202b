"""The in-place lane: small inference requests of fast models, with no task and no framework.

A run of a small network takes less time than a coroutine takes to be scheduled, and a fraction
of what a framework does for a request. So a connection offers each request that came whole to
this lane, which takes those that are answered in place: read, put into the batch of this turn
of the event loop, and written when its run ends. Everything else it leaves to the app, whose
``infer`` endpoint reads, runs and writes with the same functions.
"""

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import structlog
from structlog.contextvars import bound_contextvars

from service.access.guard import Guard
from service.access.loopback import LOOPBACK
from service.api.failures import answer_of
from service.api.inference import SMALL_ANSWER, SMALL_BODY
from service.artifact.signature import Tensors
from service.batching.waiting import Answered
from service.errors import AccessError, InternalError, ServiceError
from service.inference.predictor import Predictor
from service.lifecycle import Service
from service.repository.entries import Entry
from service.telemetry.conventions import http_span
from service.telemetry.observation import Observer
from service.telemetry.timing import Timing
from service.wire.encodings import compress
from service.wire.inference_request import InferenceRequest, read_header_length, read_length
from service.wire.inference_response import write_response

if TYPE_CHECKING:
    from service.telemetry.spans import Trace

log = structlog.get_logger()

# Names that need no decoding; any other path is the app's.
_INFER = re.compile(rb"/v2/models/([A-Za-z0-9._-]+)(?:/versions/([0-9]+))?/infer")
_ROUTE = "/v2/models/{name}/infer"
_VERSION_ROUTE = "/v2/models/{name}/versions/{version}/infer"

# Numbers whose digits are compressed in a millisecond; a thread of the app's does it for more.
_COMPRESSED_AT_ONCE = 2**11

_HEADER_LENGTH = b"inference-header-content-length"

_OK = 200

_UNEXPECTED = InternalError("an unexpected error; the log has it under the request id")

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

    def send(self, status: int, head: bytes, body: bytes) -> None:
        """Send an answer; ``head`` is the lines of its headers."""


class InPlaceLane:
    """Answers small inference requests of models that run in place.

    Args:
        service: whose models run.
        observer: told of each answer.
        guard: knows the API keys, where they are needed.
    """

    def __init__(self, service: Service, observer: Observer, guard: Guard | None = None) -> None:
        self._service = service
        self._observer = observer
        self._guard = guard
        self._control = (LOOPBACK, service.settings.control_port)
        self._is_open_to_pages = bool(service.settings.cors_origins)

    def serves(self, address: tuple[str, int | None] | None) -> bool:
        """Return whether the lane is for connections to an address: not to the control port.

        What comes there is looked at by the app, before anything is answered.
        """
        return address != self._control

    @staticmethod
    def may_take(url: bytes) -> bool:
        """Return whether a request is worth holding until its body is there."""
        return url.startswith(b"/v2/models/") and url.endswith(b"/infer")

    def take(
        self, url: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes, reply: Reply
    ) -> bool:
        """Return whether the request is answered here, now or at the end of this turn.

        Args:
            url: as it came.
            headers: with lower-case names.
            body: all of it.
            reply: is given the answer.
        """
        match = _INFER.fullmatch(url)
        if match is None:
            return False
        fields = dict(headers)
        if len(fields) != len(headers) or b"content-encoding" in fields:
            return False
        if self._is_open_to_pages and b"origin" in fields:
            return False  # the answer's headers depend on it
        name, version = match.groups()
        route = _ROUTE if version is None else _VERSION_ROUTE
        answer = _Answer(self._observer, reply, url, route, fields)
        try:
            if self._guard is not None:
                self._guard.require(headers, "predict")
            text = None if version is None else version.decode()
            entry, predictor = self._service.repository.serving(name.decode(), text)
            return self._offer(entry, predictor, body, answer)
        except Exception as error:  # noqa: BLE001 -- nothing may reach the connection's parser
            answer.set_exception(error)
        return True

    def _offer(self, entry: Entry, predictor: Predictor, body: bytes, answer: "_Answer") -> bool:
        if not predictor.in_place or len(body) > self._service.settings.max_body_bytes:
            return False
        length = read_header_length(answer.fields.get(_HEADER_LENGTH), len(body))
        if read_length(body, length) > SMALL_BODY:
            return False
        asked = predictor.reader.read(body, length)
        most = _COMPRESSED_AT_ONCE if b"accept-encoding" in answer.fields else SMALL_ANSWER
        if asked.images is not None or predictor.answer_numbers(asked.inputs) > most:
            return False
        answer.admit(entry, predictor, asked)
        predictor.offer(asked.inputs, answer, predictor.deadline(asked.timeout_s))
        return True


class _Answer:
    """Takes the outputs of a run, and sends what the request asked of them."""

    __slots__ = (
        "_asked",
        "_entry",
        "_error",
        "_labels",
        "_observer",
        "_predictor",
        "_reply",
        "_route",
        "_sent",
        "_timing",
        "_trace",
        "_url",
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
        with bound_contextvars(**({} if trace is None else {"trace_id": trace.trace_id})):
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
        timing, trace = self._timing, self._trace
        head = lines + _HEAD % (len(body), timing.server_timing(), request_id.encode())
        self._reply.send(status, head, body)
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
