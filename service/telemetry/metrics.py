"""Counts and times, written to the board of all workers with a few additions each.

Labels come from the server alone: route templates, models of the repository, status codes.
A label that a client chose would let it fill the memory. Everything is written on the thread
of the event loop: a slot of the board has one writer.
"""

import math
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import Protocol

import structlog

from service.errors import BoardFull
from service.telemetry.board import Board, Key
from service.telemetry.series import (
    FAILURE_SECONDS,
    FAILURES,
    OUTCOMES,
    ROWS,
    ROWS_ANSWERED,
    SECONDS,
)
from service.telemetry.statistics import Statistics, statistics
from service.telemetry.timing import Timing

log = structlog.get_logger()

# Prometheus' text format; a constant of its library, which is not loaded before a scrape.
CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"

# Of one model, told apart by the times of their runs; a model that meets more sizes has them
# all in its histogram.
_MOST_SIZES = 512


class Metrics:
    """The metrics of one worker, and through the board those of all.

    Args:
        board: shared with the other workers.
        worker: whose slot is written.
    """

    def __init__(self, board: Board | None = None, worker: int = 0) -> None:
        self.board = board or Board()
        self.worker = worker
        self.slot = self.board.slots[worker]
        self.slot.claim()
        self._requests: dict[tuple[str, int], memoryview[float]] = {}
        self._request_seconds: dict[str, Histogram] = {}
        self._errors: dict[str, memoryview[float]] = {}
        self._models: dict[tuple[str, str], ModelMetrics] = {}
        self._watched: dict[str, list[Callable[[], int]]] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request; ``route`` is the template, never the path."""
        try:
            count, histogram = self._requests[route, status], self._request_seconds[route]
        except KeyError:
            count, histogram = self._meet(route, status)
        count[0] += 1.0
        histogram.observe(seconds)

    def error(self, code: str) -> None:
        """Count an error that a client was told of."""
        if code not in self._errors:
            self._errors[code] = self.open(("errors", code), 1)
        self._errors[code][0] += 1.0

    def model(self, name: str, version: str) -> "ModelMetrics":
        """Return the metrics of one version of one model, always the same."""
        if (name, version) not in self._models:
            self._models[name, version] = ModelMetrics(self.open, name, version)
        return self._models[name, version]

    def model_ready(self, name: str, version: str, *, ready: bool) -> None:
        """Say whether a version that is to be served can be."""
        if not ready:
            self._forget_queue(name, version)
        self.open(("model_ready", name, version), 1, is_gauge=True)[0] = ready
        self.open(("load_failures", name, version), 1)  # a count that begins is seen to rise

    def model_unloaded(self, name: str, version: str) -> None:
        """Say nothing any more of whether a version is served: nobody wants it."""
        self._forget_queue(name, version)
        self.open(("model_ready", name, version), 1, is_gauge=True)[0] = math.nan

    def load_failed(self, name: str, version: str) -> None:
        """Count a load of a version that failed."""
        self.open(("load_failures", name, version), 1)[0] += 1.0

    def setting(self, name: str, value: float) -> None:
        """Tell a setting that figures are held against, such as ``request_timeout_seconds``."""
        self.open((name,), 1, is_gauge=True)[0] = value

    def watch(self, name: str, count: Callable[[], int]) -> None:
        """Ask for a number of this worker whenever the metrics are read; those of a name add up."""
        self._watched.setdefault(name, []).append(count)

    def publish(self) -> None:
        """Write down what is only known when it is asked for; other workers read the board."""
        for model in self._models.values():
            model.publish()
        for name, counts in self._watched.items():
            self.open((name,), 1, is_gauge=True)[0] = sum(count() for count in counts)

    def exposition(self) -> bytes:
        """Return everything, of all workers, in Prometheus' text format."""
        # On the first scrape: a server that nobody scrapes need not hold the library.
        from service.telemetry.exposition import exposition  # noqa: PLC0415

        self.publish()
        return exposition(self.board)

    def statistics(self, name: str, version: str) -> Statistics:
        """Return what one version of one model has done in all workers."""
        return statistics(self.board, name, version)

    def open(self, key: Key, size: int, *, is_gauge: bool = False) -> "memoryview[float]":
        """Return the values of a series; without room they go nowhere: a count fails no request."""
        try:
            return self.slot.open(key, size, is_gauge=is_gauge)
        except BoardFull as error:
            log.warning("not counted", reason=str(error))
            return memoryview(array("d", bytes(8 * size)))

    def _forget_queue(self, name: str, version: str) -> None:
        """Watch no queue of a version that has none any more."""
        if (name, version) in self._models:
            self._models[name, version].watch_queue(int, int, 0)

    def _meet(self, route: str, status: int) -> "tuple[memoryview[float], Histogram]":
        """Open the series of a route and a status that come for the first time."""
        count = self._requests[route, status] = self.open(("requests", route, str(status)), 1)
        if route not in self._request_seconds:
            self._request_seconds[route] = Histogram(self.open, ("request_seconds", route), SECONDS)
        return count, self._request_seconds[route]


class Open(Protocol):
    """Gives the values of a series, as ``Metrics.open`` does."""

    def __call__(self, key: Key, size: int, *, is_gauge: bool = False) -> "memoryview[float]":
        """Return as many doubles as ``size`` says."""


class Histogram:
    """Counts by upper bound, the last of which is infinite, and the sum of what was observed.

    Args:
        open_series: gives the values of a series.
        key: of the series.
        bounds: rising; a value that equals a bound is counted there.
    """

    __slots__ = ("_bounds", "_values")

    def __init__(self, open_series: Open, key: Key, bounds: tuple[float, ...]) -> None:
        self._values = open_series(key, len(bounds) + 2)
        self._bounds = bounds

    def observe(self, value: float) -> None:
        """Count a value."""
        values = self._values
        values[bisect_left(self._bounds, value)] += 1.0
        values[-1] += value


class ModelMetrics:
    """What is told about one version of one model.

    Args:
        open_series: gives the values of a series.
        name: of the model.
        version: of the model.
    """

    def __init__(self, open_series: Open, name: str, version: str) -> None:
        self._open = open_series
        self._labels = (name, version)
        self._decode = self._histogram("decode_seconds", SECONDS)
        self._queue = self._histogram("queue_seconds", SECONDS)
        self._infer = self._histogram("infer_seconds", SECONDS)
        self._run_seconds = self._histogram("run_seconds", SECONDS)
        self._batch_rows = self._histogram("batch_rows", ROWS)
        self._outcomes = open_series(("outcomes", name, version), OUTCOMES)
        self._last_run = open_series(("last_run", name, version), 1)
        self._sizes: dict[int, memoryview[float]] = {}
        self._waiting = self._gauge("waiting_rows")
        self._running = self._gauge("running_rows")
        self._limit = self._gauge("queue_limit_rows")
        self.watch_queue(int, int, 0)

    def request(self, timing: Timing, rows: int, ok: bool) -> None:
        """Count an inference request and the time that it spent in each stage."""
        outcomes = self._outcomes
        if not ok:
            outcomes[FAILURES] += 1.0
            outcomes[FAILURE_SECONDS] += timing.decode_s + timing.queue_s + timing.infer_s
            return
        outcomes[ROWS_ANSWERED] += rows
        if timing.decode_s:
            self._decode.observe(timing.decode_s)
        self._queue.observe(timing.queue_s)
        self._infer.observe(timing.infer_s)

    def run(self, rows: int, seconds: float) -> None:
        """Count a run of so many rows."""
        self._run_seconds.observe(seconds)
        self._batch_rows.observe(rows)
        self._last_run[0] = time.time()
        size = self._sizes.get(rows)
        if size is None:
            size = self._meet(rows)
        size[0] += 1.0
        size[1] += seconds

    def watch_queue(
        self, waiting_rows: Callable[[], int], running_rows: Callable[[], int], limit: int
    ) -> None:
        """Ask for the rows that wait, and those that are run, whenever the metrics are read.

        Args:
            waiting_rows: of this worker.
            running_rows: likewise.
            limit: rows that may wait in this worker.
        """
        self._waiting_rows, self._running_rows = waiting_rows, running_rows
        self._limit[0] = limit

    def publish(self) -> None:
        """Write down how many rows wait and how many are run now."""
        self._waiting[0] = self._waiting_rows()
        self._running[0] = self._running_rows()

    def _histogram(self, name: str, bounds: tuple[float, ...]) -> Histogram:
        return Histogram(self._open, (name, *self._labels), bounds)

    def _gauge(self, name: str) -> "memoryview[float]":
        return self._open((name, *self._labels), 1, is_gauge=True)

    def _meet(self, rows: int) -> "memoryview[float]":
        """Open the series of a batch size that comes for the first time."""
        if len(self._sizes) == _MOST_SIZES:
            return memoryview(array("d", (0, 0)))
        size = self._sizes[rows] = self._open(("batches", *self._labels, str(rows)), 2)
        return size
