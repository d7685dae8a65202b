"""The board of all workers in Prometheus' text format; any worker can write it."""

import platform
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from service.errors import codes
from service.telemetry.board import Board, Key, Phase, Slot
from service.telemetry.series import FAILURES, ROWS, ROWS_ANSWERED, SECONDS, totals

_Labels = tuple[str, ...]
_MODEL: _Labels = ("model", "version")
_COUNTERS: dict[str, tuple[str, _Labels]] = {
    "requests": ("Requests by route and status.", ("route", "status")),
    "errors": ("Errors that clients were told of, by code.", ("code",)),
    "load_failures": ("Loads that failed, in each worker; what was served before stays.", _MODEL),
}
_HISTOGRAMS: dict[str, tuple[str, _Labels]] = {
    "request_seconds": ("Seconds from a request's head to its last byte.", ("route",)),
    "decode_seconds": ("Seconds from a request's body to its tensors.", _MODEL),
    "queue_seconds": ("Seconds that a request waited for its run.", _MODEL),
    "infer_seconds": ("Seconds of the run that a request was part of.", _MODEL),
    "run_seconds": ("Seconds of one run.", _MODEL),
    "batch_rows": ("Rows of one run.", _MODEL),
}
_GAUGES: dict[str, tuple[str, _Labels]] = {
    "waiting_rows": ("Rows that wait for a run.", _MODEL),
    "running_rows": ("Rows in runs under way; those of the event loop are over at once.", _MODEL),
    "queue_limit_rows": ("Rows that may wait, in all workers.", _MODEL),
    "model_ready": ("1 for a version that every worker serves, 0 for one that cannot be.", _MODEL),
    "connections": ("HTTP connections that are open.", ()),
    "requests_in_flight": ("Requests that are being answered, this one among them.", ()),
    "request_timeout_seconds": ("Seconds that a request has from its admission.", ()),
}


def exposition(board: Board) -> bytes:
    """Return everything that stands on the board, and the state of each worker's process."""
    registry = CollectorRegistry()
    for collector in (_Build(), _Totals(board), _Workers(board)):
        registry.register(collector)
    return generate_latest(registry)


class _Build(Collector):
    """Which versions run, as labels of a 1."""

    def collect(self) -> Iterable[Metric]:
        labels = _versions()
        gauge = GaugeMetricFamily("foldserve_build_info", "Versions that run.", labels=[*labels])
        gauge.add_metric([*labels.values()], 1)
        yield gauge


@cache
def _versions() -> dict[str, str]:
    return {"version": version("foldserve"), "python": platform.python_version()}


class _Totals(Collector):
    """The counts of all workers as one."""

    def __init__(self, board: Board) -> None:
        # A code that has not come up yet is 0: a count that begins at 1 is not seen to rise.
        self._totals = {("errors", code): [0.0] for code in codes()} | totals(board)

    def collect(self) -> Iterable[Metric]:
        yield from self._inferences()
        for name, (text, labels) in _COUNTERS.items():
            counter = CounterMetricFamily(f"foldserve_{name}", text, labels=labels)
            for values, of in self._of(name):
                counter.add_metric(values, of[0])
            yield counter
        for name, (text, labels) in _HISTOGRAMS.items():
            bounds = ROWS if name == "batch_rows" else SECONDS
            histogram = HistogramMetricFamily(f"foldserve_{name}", text, labels=labels)
            for values, of in self._of(name):
                histogram.add_metric(values, _buckets(bounds, of), of[-1])
            yield histogram
        for name, (text, labels) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"foldserve_{name}", text, labels=labels)
            for values, of in self._of(name):
                gauge.add_metric(values, of[0])
            yield gauge

    def _inferences(self) -> Iterable[Metric]:
        """Return what other series tell of the inference requests, in the words of a dashboard."""
        requests = CounterMetricFamily(
            "foldserve_inference_requests",
            "Inference requests of a model, by what came of them.",
            labels=(*_MODEL, "outcome"),
        )
        rows = CounterMetricFamily(
            "foldserve_inference_rows", "Rows of the answered inference requests.", labels=_MODEL
        )
        for values, of in self._of("infer_seconds"):
            requests.add_metric((*values, "success"), sum(of[:-1]))
        for values, of in self._of("outcomes"):
            requests.add_metric((*values, "failure"), of[FAILURES])
            rows.add_metric(values, of[ROWS_ANSWERED])
        last = GaugeMetricFamily(
            "foldserve_last_run_timestamp_seconds",
            "When the latest run ended, seconds since 1970; 0 before the first.",
            labels=_MODEL,
        )
        for values, of in self._of("last_run"):
            last.add_metric(values, of[0])
        yield from (requests, rows, last)

    def _of(self, name: str) -> Iterator[tuple[Key, list[float]]]:
        for key, values in self._totals.items():
            if key[0] == name:
                yield key[1:], values


class _Workers(Collector):
    """The process, the phase and the requests of each worker."""

    def __init__(self, board: Board) -> None:
        self._slots = {str(i): slot for i, slot in enumerate(board.slots)}

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "foldserve_worker_requests", "Requests by worker.", labels=("worker",)
        )
        ready = GaugeMetricFamily(
            "foldserve_worker_ready", "1 for a worker that serves, else 0.", labels=("worker",)
        )
        restarts = CounterMetricFamily(
            "foldserve_worker_restarts",
            "Workers that were started in the place of one that ended.",
            labels=("worker",),
        )
        for worker, slot in self._slots.items():
            requests.add_metric((worker,), _requests(slot))
            ready.add_metric((worker,), slot.phase is Phase.SERVING)
            restarts.add_metric((worker,), slot.restarts)
        yield from (requests, ready, restarts, *self._processes())

    def _processes(self) -> Iterable[Metric]:
        """Return what the library tells of one process, of each worker under its label."""
        families: dict[str, Metric] = {}
        for worker, slot in self._slots.items():
            for told in _process(slot.pid):
                family = families.setdefault(
                    told.name, Metric(told.name, told.documentation, told.type)
                )
                for sample in told.samples:
                    family.add_sample(sample.name, {"worker": worker}, sample.value)
        return families.values()


def _process(pid: int) -> Iterable[Metric]:
    """Return CPU time, memory and files of a process; nothing if there is none."""
    return ProcessCollector(pid=lambda: pid, registry=None).collect() if pid else ()


def _requests(slot: Slot) -> float:
    return sum(each.values[0] for each in slot.series() if each.key[0] == "requests")


def _buckets(bounds: Sequence[float], values: Sequence[float]) -> list[tuple[str, float]]:
    """Return how many values are at most each bound, as Prometheus counts them."""
    names = [str(float(bound)) for bound in bounds] + ["+Inf"]
    return list(zip(names, accumulate(values[:-1]), strict=True))
