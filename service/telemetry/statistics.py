"""What Triton's statistics extension tells of a model, from the board of all workers.

The fields are named as its documents are
(https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md),
so that one of these written as JSON is one of theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.telemetry.board import Board, Key
from service.telemetry.series import FAILURE_SECONDS, FAILURES, OUTCOMES, ROWS_ANSWERED, totals

_NS = 10**9
_MS = 10**3


@dataclass(frozen=True)
class Duration:
    """How often something was done, and for how many nanoseconds in all."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True)
class InferenceStats:
    """The requests by outcome, and the time of the answered ones by stage.

    Decoding an image or a large body is ``compute_input``; there is no stage of ours for
    ``compute_output`` and no cache.
    """

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration = Duration()
    cache_hit: Duration = Duration()
    cache_miss: Duration = Duration()


@dataclass(frozen=True)
class BatchStats:
    """The runs of one number of rows."""

    batch_size: int
    compute_infer: Duration
    compute_input: Duration = Duration()
    compute_output: Duration = Duration()


@dataclass(frozen=True)
class Statistics:
    """What one version of one model has done.

    Args:
        name: of the model.
        version: of the model.
        last_inference: milliseconds since the epoch at the end of the latest run; 0 before.
        inference_count: rows of the answered requests.
        execution_count: runs.
        inference_stats: of the requests.
        batch_stats: of the runs, by rising size.
    """

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferenceStats
    batch_stats: list[BatchStats]


def statistics(board: Board, name: str, version: str) -> Statistics:
    """Return what one version of one model has done in all workers, nothing if it is unknown."""
    found: dict[Key, list[float]] = {
        (key[0], *key[3:]): values
        for key, values in totals(board).items()
        if key[1:3] == (name, version)
    }
    outcomes = found.get(("outcomes",), [0.0] * OUTCOMES)
    return Statistics(
        name,
        version,
        int(found.get(("last_run",), [0.0])[0] * _MS),
        int(outcomes[ROWS_ANSWERED]),
        _observed(found, "run_seconds").count,
        _inference_stats(found, outcomes),
        _batch_stats(found),
    )


def _inference_stats(found: dict[Key, list[float]], outcomes: Sequence[float]) -> InferenceStats:
    decode, queue, infer = (
        _observed(found, f"{stage}_seconds") for stage in ("decode", "queue", "infer")
    )
    return InferenceStats(
        success=Duration(infer.count, decode.ns + queue.ns + infer.ns),
        fail=_duration(outcomes[FAILURES], outcomes[FAILURE_SECONDS]),
        queue=queue,
        compute_input=Duration(infer.count, decode.ns),
        compute_infer=infer,
        compute_output=Duration(infer.count),
    )


def _batch_stats(found: dict[Key, list[float]]) -> list[BatchStats]:
    sizes = sorted((int(key[1]), values) for key, values in found.items() if key[0] == "batches")
    return [
        BatchStats(rows, _duration(*values), Duration(int(values[0])), Duration(int(values[0])))
        for rows, values in sizes
    ]


def _observed(found: dict[Key, list[float]], histogram: str) -> Duration:
    *counts, seconds = found.get((histogram,), [0.0])
    return _duration(sum(counts), seconds)


def _duration(count: float, seconds: float) -> Duration:
    return Duration(int(count), round(seconds * _NS))
