"""Counts and times for Prometheus, in a registry of each app's own.

Labels come from the server alone: route templates, models of the repository, status codes.
A label that a client chose would let it fill the memory.
"""

from collections.abc import Callable, Sequence

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

# From a tenth of a millisecond, a small model's run, to the default request timeout.
_SECONDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one app."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = self._counter("requests", "Requests by route and status.", "status")
        self._request_seconds = self._histogram(
            "request_seconds", "Seconds from a request's head to its last byte.", "route"
        )
        self._decode_seconds = self._histogram(
            "decode_seconds",
            "Seconds from the arrival of an image or large JSON body to its tensors.",
        )
        model = ("model", "version")
        self._queue_seconds = self._histogram(
            "queue_seconds", "Seconds that a request waited for its run.", *model
        )
        self._run_seconds = self._histogram("run_seconds", "Seconds of one run.", *model)
        self._batch_rows = Histogram(
            "foldserve_batch_rows",
            "Rows of one run.",
            model,
            registry=self._registry,
            buckets=_ROWS,
        )
        self._waiting_rows = Gauge(
            "foldserve_waiting_rows", "Rows that wait for a run.", model, registry=self._registry
        )
        self._models = Gauge(
            "foldserve_model_ready",
            "1 for a version that is served, 0 for one that is not.",
            model,
            registry=self._registry,
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request; ``route`` is the template, never the path."""
        self._requests.labels(route, status).inc()
        self._request_seconds.labels(route).observe(seconds)

    def decode(self, seconds: float) -> None:
        """Count a decoded body."""
        self._decode_seconds.observe(seconds)

    def model(self, name: str, version: str) -> "ModelMetrics":
        """Return the metrics of one version of one model."""
        return ModelMetrics(
            self._batch_rows.labels(name, version),
            self._queue_seconds.labels(name, version),
            self._run_seconds.labels(name, version),
            self._waiting_rows.labels(name, version),
        )

    def model_ready(self, name: str, version: str, *, ready: bool) -> None:
        """Say whether a version is served."""
        self._models.labels(name, version).set(ready)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"foldserve_{name}", text, ("route", *labels), registry=self._registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(
            f"foldserve_{name}", text, labels, registry=self._registry, buckets=_SECONDS
        )


class ModelMetrics:
    """What a predictor tells about its queue and its runs."""

    def __init__(
        self, rows: Histogram, queue: Histogram, run_seconds: Histogram, waiting: Gauge
    ) -> None:
        self._rows = rows
        self._queue = queue
        self._run_seconds = run_seconds
        self._waiting = waiting

    def batch(self, rows: int, waits: Sequence[float]) -> None:
        """Count a batch and the seconds that each of its requests waited."""
        self._rows.observe(rows)
        for seconds in waits:
            self._queue.observe(seconds)

    def run(self, seconds: float) -> None:
        """Count a run."""
        self._run_seconds.observe(seconds)

    def watch_queue(self, waiting_rows: Callable[[], int]) -> None:
        """Ask for the rows that wait whenever the metrics are read."""
        self._waiting.set_function(waiting_rows)
