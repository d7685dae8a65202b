"""What Triton's statistics extension tells of a model."""

import orjson
import pytest

from service.telemetry.board import Board
from service.telemetry.metrics import Metrics
from service.telemetry.statistics import Duration
from service.telemetry.timing import Timing


def timing(decode_s: float, queue_s: float, infer_s: float) -> Timing:
    made = Timing()
    made.decode_s, made.queue_s, made.infer_s = decode_s, queue_s, infer_s
    return made


def two_workers() -> Metrics:
    board = Board(workers=2)
    first, second = (Metrics(board, worker).model("digits", "1") for worker in range(2))
    first.request(timing(0.5, 0.25, 0.125), rows=2, ok=True)
    second.request(timing(0.0, 0.25, 0.125), rows=3, ok=True)
    second.request(timing(0.0, 0.5, 0.0), rows=4, ok=False)
    first.run(2, 0.125)
    second.run(3, 0.125)
    second.run(2, 0.0625)
    return Metrics(board, 0)


def test_the_requests_of_all_workers_are_told_by_outcome_and_stage() -> None:
    told = two_workers().statistics("digits", "1")
    assert (told.name, told.version) == ("digits", "1")
    assert (told.inference_count, told.execution_count) == (5, 3)
    stats = told.inference_stats
    assert stats.success == Duration(2, 1_250_000_000)
    assert stats.fail == Duration(1, 500_000_000)
    assert stats.queue == Duration(2, 500_000_000)
    assert stats.compute_input == Duration(2, 500_000_000)
    assert stats.compute_infer == Duration(2, 250_000_000)


def test_runs_are_told_by_their_rows() -> None:
    told = two_workers().statistics("digits", "1").batch_stats
    assert [(each.batch_size, each.compute_infer) for each in told] == [
        (2, Duration(2, 187_500_000)),
        (3, Duration(1, 125_000_000)),
    ]


def test_the_latest_run_of_any_worker_is_told_in_milliseconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = Board(workers=2)
    for worker, now in ((0, 1700000002.5), (1, 1700000001.0)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        Metrics(board, worker).model("digits", "1").run(1, 0.001)
    assert Metrics(board).statistics("digits", "1").last_inference == 1_700_000_002_500


def test_of_a_model_that_did_nothing_everything_is_0() -> None:
    told = Metrics().statistics("digits", "1")
    assert (told.last_inference, told.inference_count, told.execution_count) == (0, 0, 0)
    assert told.inference_stats.success == Duration()
    assert told.batch_stats == []


def test_other_models_and_versions_count_apart() -> None:
    metrics = Metrics()
    metrics.model("digits", "1").run(1, 0.001)
    assert metrics.statistics("digits", "2").execution_count == 0
    assert metrics.statistics("digit", "1").execution_count == 0


def test_as_json_it_is_a_document_of_the_extension() -> None:
    document = orjson.loads(orjson.dumps(two_workers().statistics("digits", "1")))
    assert set(document) == {
        "name",
        "version",
        "last_inference",
        "inference_count",
        "execution_count",
        "inference_stats",
        "batch_stats",
    }
    assert document["inference_stats"]["queue"] == {"count": 2, "ns": 500_000_000}
    assert document["batch_stats"][0]["compute_infer"] == {"count": 2, "ns": 187_500_000}
