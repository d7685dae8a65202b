"""What is counted, and GET /metrics."""

import math
import re
import time
from importlib.metadata import version
from pathlib import Path

import httpx
import prometheus_client
import pytest
import structlog

from service.app import create_app
from service.telemetry.board import Board, Phase
from service.telemetry.metrics import CONTENT_TYPE, Metrics
from service.telemetry.timing import Timing
from tests.service.apps import running, settings
from tests.service.pictures import grey

PAGE = 4096
MODEL = '{model="digits",version="1"}'


def timing(decode_s: float = 0.0, queue_s: float = 0.0, infer_s: float = 0.0) -> Timing:
    made = Timing()
    made.decode_s, made.queue_s, made.infer_s = decode_s, queue_s, infer_s
    return made


def read(exposition: str) -> dict[str, float]:
    lines = [line for line in exposition.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def shown(metrics: Metrics) -> dict[str, float]:
    return read(metrics.exposition().decode())


async def scrape(client: httpx.AsyncClient) -> dict[str, float]:
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return read(answer.text)


def test_a_request_is_counted_by_route_and_status_and_timed_by_route() -> None:
    metrics = Metrics()
    metrics.request("/v2", 200, 0.002)
    metrics.request("/v2", 404, 0.2)
    metrics.request("/v2", 200, 100.0)
    found = shown(metrics)
    assert found['foldserve_requests_total{route="/v2",status="200"}'] == 2
    assert found['foldserve_requests_total{route="/v2",status="404"}'] == 1
    seconds = "foldserve_request_seconds_{}"
    assert found[seconds.format('bucket{le="0.001",route="/v2"}')] == 0
    assert found[seconds.format('bucket{le="0.0025",route="/v2"}')] == 1
    assert found[seconds.format('bucket{le="30.0",route="/v2"}')] == 2
    assert found[seconds.format('bucket{le="+Inf",route="/v2"}')] == 3
    assert found[seconds.format('count{route="/v2"}')] == 3
    assert found[seconds.format('sum{route="/v2"}')] == pytest.approx(100.202)


def test_a_value_that_equals_a_bound_is_counted_there() -> None:
    metrics = Metrics()
    metrics.model("digits", "1").run(4, 0.001)
    found = shown(metrics)
    assert found['foldserve_batch_rows_bucket{le="2.0",model="digits",version="1"}'] == 0
    assert found['foldserve_batch_rows_bucket{le="4.0",model="digits",version="1"}'] == 1
    assert found['foldserve_run_seconds_bucket{le="0.001",model="digits",version="1"}'] == 1


def test_the_stages_of_an_answered_request_are_timed_by_model() -> None:
    metrics = Metrics()
    metrics.model("digits", "1").request(timing(0.5, 0.25, 0.125), rows=2, ok=True)
    metrics.model("digits", "1").request(timing(0.0, 0.25, 0.125), rows=2, ok=True)
    metrics.model("digits", "1").request(timing(0.5, 0.25, 0.125), rows=2, ok=False)
    found = shown(metrics)
    assert found["foldserve_decode_seconds_count" + MODEL] == 1, "of requests that decoded"
    assert found["foldserve_decode_seconds_sum" + MODEL] == 0.5
    assert found["foldserve_queue_seconds_sum" + MODEL] == 0.5
    assert found["foldserve_infer_seconds_sum" + MODEL] == 0.25


def test_the_rows_that_wait_are_asked_for_when_they_are_read() -> None:
    metrics = Metrics()
    waiting = [3]
    metrics.model("digits", "1").watch_queue(lambda: waiting[0], lambda: 2, 1024)
    assert shown(metrics)["foldserve_waiting_rows" + MODEL] == 3
    waiting[0] = 1
    found = shown(metrics)
    assert found["foldserve_waiting_rows" + MODEL] == 1
    assert found["foldserve_running_rows" + MODEL] == 2
    assert found["foldserve_queue_limit_rows" + MODEL] == 1024


def test_every_error_code_is_told_from_the_start_and_those_that_come_up_are_counted() -> None:
    metrics = Metrics()
    assert shown(metrics)['foldserve_errors_total{code="output_not_finite"}'] == 0
    for _ in range(2):
        metrics.error("output_not_finite")
    found = shown(metrics)
    assert found['foldserve_errors_total{code="output_not_finite"}'] == 2
    assert found['foldserve_errors_total{code="queue_full"}'] == 0


def test_inference_requests_are_counted_by_model_and_outcome() -> None:
    metrics = Metrics()
    metrics.model("digits", "1").request(timing(infer_s=0.1), rows=3, ok=True)
    metrics.model("digits", "1").request(timing(), rows=0, ok=False)
    metrics.model("digits", "1").request(timing(infer_s=0.1), rows=4, ok=True)
    metrics.model("digits", "1").run(7, 0.1)
    found = shown(metrics)
    requests = 'foldserve_inference_requests_total{{model="digits",outcome="{}",version="1"}}'
    assert found[requests.format("success")] == 2
    assert found[requests.format("failure")] == 1
    assert found["foldserve_inference_rows_total" + MODEL] == 7
    assert found["foldserve_last_run_timestamp_seconds" + MODEL] == pytest.approx(
        time.time(), abs=60
    )


def test_what_is_watched_is_asked_for_when_it_is_read_and_a_setting_is_not_added_up() -> None:
    board = Board(workers=2)
    first, second = (Metrics(board, worker) for worker in range(2))
    for metrics in (first, second):
        metrics.setting("request_timeout_seconds", 30)
    first.watch("requests_in_flight", lambda: 2)
    first.watch("requests_in_flight", lambda: 3)
    second.watch("requests_in_flight", lambda: 4)
    second.publish()
    found = shown(first)
    assert found["foldserve_requests_in_flight"] == 9
    assert found["foldserve_request_timeout_seconds"] == 30


def test_a_worker_in_the_place_of_another_is_a_restart() -> None:
    board = Board(workers=2)
    for worker in (0, 1, 1):
        Metrics(board, worker)
    found = shown(Metrics(board, 1))
    assert found['foldserve_worker_restarts_total{worker="0"}'] == 0
    assert found['foldserve_worker_restarts_total{worker="1"}'] == 2


def test_the_version_that_runs_is_told() -> None:
    (told,) = [name for name in shown(Metrics()) if name.startswith("foldserve_build_info")]
    assert f'version="{version("foldserve")}"' in told


def test_each_worker_tells_the_whole() -> None:
    board = Board(workers=2)
    first, second = (Metrics(board, worker) for worker in range(2))
    for metrics in (first, second, second):
        metrics.request("/v2", 200, 0.01)
        metrics.model("digits", "1").run(8, 0.01)
    first.model("digits", "1").watch_queue(lambda: 2, int, 8)
    second.model("digits", "1").watch_queue(lambda: 3, int, 8)
    first.publish()
    second.publish()
    for metrics in (first, second):
        found = shown(metrics)
        assert found['foldserve_requests_total{route="/v2",status="200"}'] == 3
        assert found["foldserve_run_seconds_count" + MODEL] == 3
        assert found["foldserve_batch_rows_sum" + MODEL] == 24
        assert found["foldserve_waiting_rows" + MODEL] == 5
        assert found["foldserve_queue_limit_rows" + MODEL] == 16
        assert found['foldserve_worker_requests_total{worker="0"}'] == 1
        assert found['foldserve_worker_requests_total{worker="1"}'] == 2
        assert found['process_resident_memory_bytes{worker="0"}'] > 0
        assert found['process_cpu_seconds_total{worker="1"}'] > 0


def test_a_version_is_ready_if_every_living_worker_serves_it() -> None:
    board = Board(workers=2)
    first, second = (Metrics(board, worker) for worker in range(2))
    first.model_ready("digits", "1", ready=True)
    assert shown(first)["foldserve_model_ready" + MODEL] == 1, "the other is on its way"
    second.model_ready("digits", "1", ready=False)
    assert shown(first)["foldserve_model_ready" + MODEL] == 0
    board.slots[1].release()
    assert shown(first)["foldserve_model_ready" + MODEL] == 1, "the other is gone"
    first.model_unloaded("digits", "1")
    assert "foldserve_model_ready" + MODEL not in shown(first), "nobody wants it"


def test_a_worker_that_is_gone_leaves_its_counts() -> None:
    board = Board(workers=2)
    first, second = (Metrics(board, worker) for worker in range(2))
    second.request("/v2", 200, 0.01)
    second.slot.phase = Phase.SERVING
    assert shown(first)['foldserve_worker_ready{worker="1"}'] == 1
    board.slots[1].release()
    found = shown(first)
    assert found['foldserve_requests_total{route="/v2",status="200"}'] == 1
    assert found['foldserve_worker_ready{worker="1"}'] == 0
    assert 'process_resident_memory_bytes{worker="1"}' not in found
    Metrics(board, 1).request("/v2", 200, 0.01)
    assert shown(first)['foldserve_requests_total{route="/v2",status="200"}'] == 2


def test_what_the_board_has_no_room_for_is_logged_and_fails_nothing() -> None:
    metrics = Metrics(Board(slot_bytes=PAGE))
    with structlog.testing.capture_logs() as lines:
        for version in range(10):
            metrics.model("digits", str(version)).run(1, 0.1)
            metrics.request(f"/{version}", 200, 0.1)
    assert {line["event"] for line in lines} == {"not counted"}
    assert shown(metrics)['foldserve_run_seconds_count{model="digits",version="0"}'] == 1


def test_more_batch_sizes_than_are_told_apart_are_all_counted_as_runs() -> None:
    metrics = Metrics()
    model = metrics.model("digits", "1")
    for rows in range(1, 1001):
        model.run(rows, 0.001)
    told = metrics.statistics("digits", "1")
    assert told.execution_count == 1000
    assert [each.batch_size for each in told.batch_stats] == list(range(1, 513))


def test_the_content_type_is_the_one_of_the_library_that_writes() -> None:
    assert prometheus_client.CONTENT_TYPE_LATEST == CONTENT_TYPE


@pytest.mark.anyio
async def test_requests_and_runs_are_counted(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await client.post("/models/brightness/predict", content=grey(0))
    found = await scrape(client)
    model = '{model="brightness",version="1"}'
    route = '{route="/models/{name}/predict"'
    assert found[f"foldserve_requests_total{route}" + ',status="200"}'] == 3
    assert found[f"foldserve_request_seconds_count{route}" + "}"] == 3
    for stage in ("decode", "queue", "infer", "run"):
        assert found[f"foldserve_{stage}_seconds_count{model}"] == 3
    assert found[f"foldserve_batch_rows_sum{model}"] == 3
    assert found[f"foldserve_waiting_rows{model}"] == 0
    assert found[f"foldserve_model_ready{model}"] == 1
    assert found['foldserve_worker_ready{worker="0"}'] == 1
    assert not any(math.isnan(value) for value in found.values())


@pytest.mark.anyio
async def test_a_model_that_is_broken_is_counted_as_not_ready(models: Path) -> None:
    (models / "doubler" / "12" / "model.onnx").write_bytes(b"garbage")
    async with running(create_app(settings(models))) as client:
        found = await scrape(client)
    assert found['foldserve_model_ready{model="doubler",version="12"}'] == 0
    assert found['foldserve_model_ready{model="doubler",version="1"}'] == 1


@pytest.mark.anyio
async def test_no_label_is_a_clients_choice(client: httpx.AsyncClient) -> None:
    await client.get("/nothing/from-me")
    await client.get("/models/from-me")
    await client.request("FROM-ME", "/models")
    text = (await client.get("/metrics")).text
    assert "from-me" not in text.lower()
    assert 'route="unmatched",status="404"' in text


@pytest.mark.anyio
async def test_two_apps_count_apart(models: Path) -> None:
    first, second = (create_app(settings(models)) for _ in range(2))
    async with running(first) as one, running(second) as other:
        await one.get("/models")
        assert any("/models" in name for name in await scrape(one))
        assert not any(re.search(r'route="/models"', name) for name in await scrape(other))


def test_loads_that_failed_are_counted_by_version() -> None:
    metrics = Metrics()
    for _ in range(2):
        metrics.load_failed("digits", "3")
    line = b'foldserve_load_failures_total{model="digits",version="3"} 2.0'
    assert line in metrics.exposition().splitlines()
