"""A span for each inference request and for each of its stages, sent by OpenTelemetry's SDK.

    POST /v2/models/{name}/infer     from the request's head to its answer
    ├── decode                       from its body to its tensors
    ├── queue                        until its run began
    └── infer                        the run, which other requests may have shared

The times are those that the stages measured for ``Server-Timing``, and the spans are made once
the answer is sent. The SDK sends them from a thread of its own; when they come faster than they
can be sent it drops some, and holds up nobody. Its ``OTEL_…`` variables hold here, too.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Mapping
from importlib.metadata import version
from threading import Thread

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.errors import ServiceError
from service.telemetry.timing import Timing

log = structlog.get_logger()

Header = Callable[[str], str | None]
"""Gives the value of a header, or of a gRPC call's metadata, of a lower-case name."""

_FIELDS = ("traceparent", "tracestate")
_PROPAGATOR = TraceContextTextMapPropagator()
_NS = 10**9

# From here on an error is the server's, and so is its span.
_FIRST_SERVER_ERROR = 500


class Tracing:
    """Makes traces; started inside a running event loop, in the process that serves.

    Args:
        url: of the collector, with its path.
        ratio: of the traces that begin here, how many are sent; of the others whoever began
            them has decided.
        scheme: of the URLs of requests that come to the port of HTTP.
    """

    def __init__(self, url: str, ratio: float, scheme: str) -> None:
        self.scheme = scheme
        self._url = url
        self._sampler = ParentBased(TraceIdRatioBased(ratio))
        self._provider: TracerProvider | None = None

    def start(self) -> None:
        """Begin to send; a fork would not take the thread along."""
        self._exporter = OTLPSpanExporter(self._url)
        self._provider = TracerProvider(self._sampler, _resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("foldserve", version("foldserve"))

    def begin(self, header: Header, timing: Timing) -> "Trace":
        """Begin a request's trace, or go on with its client's (W3C Trace Context).

        Args:
            header: of the request.
            timing: of the request, whose stages are told to it; it begins when that was made.
        """
        given = {name: value for name in _FIELDS if (value := header(name))}
        # A context of its own: none that this task happens to be in is the request's.
        return Trace(self._tracer, _PROPAGATOR.extract(given, Context()), timing)

    async def close(self, patience_s: float) -> None:
        """Send what is left; what nobody took after ``patience_s`` seconds is lost."""
        if self._provider is None:
            return
        sent = asyncio.Event()
        loop, provider = asyncio.get_running_loop(), self._provider

        def shutdown() -> None:
            provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(sent.set)

        # A daemon: a collector that does not answer keeps no process from ending.
        Thread(target=shutdown, name="traces", daemon=True).start()
        try:
            async with asyncio.timeout(patience_s):
                await sent.wait()
        except TimeoutError:
            log.warning("traces lost", reason="they were not taken in time at the end")


class Trace:
    """The spans of one request.

    Args:
        tracer: makes them.
        context: of whoever sent the request.
        timing: of the request.
    """

    __slots__ = ("_span", "_timing", "_tracer", "_zero_ns", "model", "trace_id")

    def __init__(self, tracer: Tracer, context: Context, timing: Timing) -> None:
        # The moment at which this machine's monotonic clock was 0.
        self._zero_ns = time.time_ns() - time.monotonic_ns()
        self._timing = timing
        self._tracer = tracer
        self._span = tracer.start_span(
            "request",
            context,
            kind=SpanKind.SERVER,
            start_time=self._moment(timing.decode_began),
        )
        self.trace_id = format(self._span.get_span_context().trace_id, "032x")
        self.model: tuple[str, str] | None = None  # name and version, once they are known

    def end(
        self,
        name: str,
        attributes: Mapping[str, str | int],
        status: int,
        request_id: str,
        error: ServiceError | None,
    ) -> None:
        """End the trace, once the request is answered.

        Args:
            name: of its span.
            attributes: by OpenTelemetry's conventions for the protocol.
            status: of the answer, as HTTP counts them.
            request_id: as in the log.
            error: that the client was told of.
        """
        span, timing = self._span, self._timing
        if not span.is_recording():
            return
        span.update_name(name)
        span.set_attributes({**attributes, "foldserve.request_id": request_id})
        if self.model is not None:
            span.set_attribute("foldserve.model.name", self.model[0])
            span.set_attribute("foldserve.model.version", self.model[1])
            span.set_attribute("foldserve.request.rows", timing.rows)
        if error is not None:
            span.set_attribute("error.type", error.code)
        if status >= _FIRST_SERVER_ERROR:
            span.set_status(Status(StatusCode.ERROR))
        self._end_stages(span, timing)
        span.end()

    def _end_stages(self, span: Span, timing: Timing) -> None:
        """Make a span of each stage that was measured."""
        inside = set_span_in_context(span, Context())
        if timing.decode_s:
            self._stage(inside, "decode", timing.decode_began, timing.decode_s)
        if timing.run is not None:
            rows, began, seconds = timing.run
            self._stage(inside, "queue", began - timing.queue_s, timing.queue_s)
            self._stage(inside, "infer", began, seconds, {"foldserve.batch.rows": rows})

    def _stage(
        self,
        inside: Context,
        name: str,
        began: float,
        seconds: float,
        attributes: Mapping[str, int] | None = None,
    ) -> None:
        start = self._moment(began)
        span = self._tracer.start_span(name, inside, attributes=attributes, start_time=start)
        span.end(start + round(seconds * _NS))

    def _moment(self, monotonic_s: float) -> int:
        """Return nanoseconds since 1970."""
        return self._zero_ns + round(monotonic_s * _NS)


def _resource() -> Resource:
    """Return what the spans come from; ``OTEL_RESOURCE_ATTRIBUTES`` and its kin add to it."""
    ours = {
        "service.name": "foldserve",
        "service.version": version("foldserve"),
        "service.instance.id": str(uuid.uuid4()),
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())
