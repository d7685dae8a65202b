"""The board of all workers in Prometheus' text format; any worker can write it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from service.telemetry.board import Board, Key, Phase, Slot
from service.telemetry.series import ROWS, SECONDS, totals

_Labels = tuple[str, ...]
_MODEL: _Labels = ("model", "version")
_COUNTERS: dict[str, tuple[str, _Labels]] = {
    "requests": ("Requests by route and status.", ("route", "status")),
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
    "model_ready": ("1 for a version that every worker serves, else 0.", _MODEL),
}


def exposition(board: Board) -> bytes:
    """Return everything that stands on the board, and the state of each worker's process."""
    registry = CollectorRegistry()
    registry.register(_Totals(board))
    registry.register(_Workers(board))
    return generate_latest(registry)


class _Totals(Collector):
    """The counts of all workers as one."""

    def __init__(self, board: Board) -> None:
        self._totals = totals(board)

    def collect(self) -> Iterable[Metric]:
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
        for worker, slot in self._slots.items():
            requests.add_metric((worker,), _requests(slot))
            ready.add_metric((worker,), slot.phase is Phase.SERVING)
        yield from (requests, ready, *self._processes())

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
