"""Around every call: ids, errors, times, counts and lines in the log."""

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from grpc import StatusCode  # type: ignore[import-untyped]  # it has no types
from grpc.aio import AioRpcError  # type: ignore[import-untyped]  # it has no types

from service.inference.model import RunOptions
from tests.service import zoo
from tests.service.apps import client_of
from tests.service.fakes import PATIENCE_S, FakeModel
from tests.service.rpc.clients import Client, failure, request, serving

pytestmark = pytest.mark.anyio

X = np.array([[1, 2, 3]], np.float32)


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A repository of one model, to be opened as a fake."""
    zoo.put(tmp_path, "fake", 1, zoo.doubler())
    return tmp_path


def opens(model: FakeModel) -> Any:
    def open_model(_path: Path, _options: RunOptions) -> FakeModel:
        return model

    return open_model


async def began(model: FakeModel) -> None:
    assert await asyncio.to_thread(model.began.acquire, timeout=PATIENCE_S)


async def trailing(call: Any) -> dict[str, str]:
    return dict(await call.trailing_metadata())


async def metric(client: Client, sample: str) -> float:
    """One sample of /metrics; 0 where there is none."""
    async with client_of(client.app) as http:
        text = (await http.get("/metrics")).text
    found = [line for line in text.splitlines() if line.startswith(sample + " ")]
    return float(found[0].split()[-1]) if found else 0.0


async def test_an_answer_says_where_its_time_went(rpc: Client) -> None:
    call = rpc.call("ModelInfer", request("doubler", {"x": X}))
    await call
    stages = (await trailing(call))["server-timing"].split(", ")
    assert [stage.split(";")[0] for stage in stages] == ["decode", "queue", "infer"]
    assert all(math.isfinite(float(stage.split("=")[1])) for stage in stages)


async def test_a_sane_request_id_is_kept(rpc: Client) -> None:
    call = rpc.call("ServerLive", metadata=[("x-request-id", "abc-1")])
    await call
    assert (await trailing(call))["x-request-id"] == "abc-1"


@pytest.mark.parametrize("metadata", [[], [("x-request-id", "a b")]])
async def test_any_other_is_replaced(rpc: Client, metadata: list[tuple[str, str]]) -> None:
    call = rpc.call("ServerLive", metadata=metadata)
    await call
    assert len((await trailing(call))["x-request-id"]) == 32


async def test_an_error_has_its_request_id_too(rpc: Client) -> None:
    call = rpc.call("ModelInfer", metadata=[("x-request-id", "abc-1")])
    with pytest.raises(AioRpcError):
        await call
    assert (await trailing(call))["x-request-id"] == "abc-1"


async def test_calls_are_counted_by_method_and_status(rpc: Client) -> None:
    await rpc.infer("doubler", {"x": X})
    with pytest.raises(AioRpcError):
        await rpc.infer("nothing", {"x": X})
    count = 'foldserve_requests_total{route="grpc ModelInfer",status="%d"}'
    assert await metric(rpc, count % 200) == 1
    assert await metric(rpc, count % 404) == 1
    seconds = 'foldserve_request_seconds_count{route="grpc ModelInfer"}'
    assert await metric(rpc, seconds) == 2


async def test_rows_are_counted_with_those_of_http(rpc: Client) -> None:
    statistics = rpc.app.state.service.metrics.statistics
    before = statistics("doubler", "12").inference_count
    await rpc.infer("doubler", {"x": np.zeros((5, 3), np.float32)})
    assert statistics("doubler", "12").inference_count == before + 5


@pytest.mark.parametrize(("access_log", "logged"), [("all", 2), ("errors", 1), ("none", 0)])
async def test_which_calls_are_logged_can_be_chosen(
    models: Path, access_log: str, logged: int
) -> None:
    async with serving(models, access_log=access_log) as rpc:
        with structlog.testing.capture_logs() as lines:
            await rpc.infer("doubler", {"x": X})
            with pytest.raises(AioRpcError):
                await rpc.infer("nothing", {"x": X})
    found = [line for line in lines if line["event"] == "request"]
    assert len(found) == logged
    for line in found:
        about = {"method", "path", "status", "request_id", "milliseconds"}
        why = {"code"} if line["status"] == 404 else set()
        assert line.keys() == {"event", "log_level"} | about | why
        assert (line["method"], line["path"]) == ("grpc", "ModelInfer")


async def test_a_failed_run_tells_the_client_no_more_than_that(fake: Path) -> None:
    model = FakeModel()
    model.poison = 1
    async with serving(fake, opens(model)) as rpc:
        with structlog.testing.capture_logs() as lines, pytest.raises(AioRpcError) as caught:
            await rpc.infer("fake", {"x": X})
    assert failure(caught) == (StatusCode.INTERNAL, "the model failed on this input")
    assert "run failed" in [line["event"] for line in lines]


class Broken(FakeModel):
    """Fails in a way that nobody foresaw."""

    def run(self, inputs: Any) -> Any:
        raise KeyError(f"/secret/path of {len(inputs)}")


async def test_an_unexpected_error_stays_in_the_log(fake: Path) -> None:
    async with serving(fake, opens(Broken()), warm_up=False) as rpc:
        with structlog.testing.capture_logs() as lines, pytest.raises(AioRpcError) as caught:
            await rpc.infer("fake", {"x": X})
    assert failure(caught) == (
        StatusCode.INTERNAL,
        "an unexpected error; the log has it under the request id",
    )
    (line,) = [line for line in lines if line["event"] == "unexpected error"]
    assert "/secret/path" in repr(line["exc_info"])


async def test_a_full_queue_refuses_at_once(fake: Path) -> None:
    model = FakeModel(held=True)
    choices = {"warm_up": False, "max_batch_size": 1, "max_queue_size": 1, "runners": 1}
    async with serving(fake, opens(model), **choices) as rpc:
        running = asyncio.ensure_future(rpc.infer("fake", {"x": X}))
        await began(model)
        waiting = asyncio.ensure_future(rpc.infer("fake", {"x": X}))
        await queued(rpc)
        with pytest.raises(AioRpcError) as caught:
            await rpc.infer("fake", {"x": X})
        model.go.set()
        await asyncio.gather(running, waiting)
    assert failure(caught)[0] is StatusCode.RESOURCE_EXHAUSTED


async def queued(rpc: Client, rows: int = 1) -> None:
    """Return once so many rows wait."""
    waiting = 'foldserve_waiting_rows{model="fake",version="1"}'
    async with asyncio.timeout(PATIENCE_S):
        while await metric(rpc, waiting) != rows:
            await rpc.ask("ServerLive")  # lets the loop look at its sockets


async def test_a_call_that_is_late_is_dropped_from_the_queue(fake: Path) -> None:
    model = FakeModel(held=True)
    async with serving(fake, opens(model), warm_up=False, max_batch_size=1, runners=1) as rpc:
        running = asyncio.ensure_future(rpc.infer("fake", {"x": X}))
        await began(model)
        # Enough to reach the queue on a loaded machine; the run is held for longer.
        call = rpc.call("ModelInfer", request("fake", {"x": X}), timeout=0.5)
        with pytest.raises(AioRpcError) as caught:
            await call
        await queued(rpc, rows=0)
        model.go.set()
        await running
    assert failure(caught)[0] is StatusCode.DEADLINE_EXCEEDED
    assert len(model.runs) == 1


async def test_the_timeout_of_a_request_is_kept_without_a_deadline(fake: Path) -> None:
    model = FakeModel(held=True)
    async with serving(fake, opens(model), warm_up=False) as rpc:
        parameters = {"timeout": {"int64_param": 1000}}
        with pytest.raises(AioRpcError) as caught:
            await rpc.infer("fake", {"x": X}, parameters=parameters)
        model.go.set()
    assert failure(caught) == (
        StatusCode.DEADLINE_EXCEEDED,
        "the request was not answered in time",
    )


async def test_a_client_that_leaves_takes_its_call_with_it(fake: Path) -> None:
    model = FakeModel(held=True)
    async with serving(fake, opens(model), warm_up=False, max_batch_size=1, runners=1) as rpc:
        running = asyncio.ensure_future(rpc.infer("fake", {"x": X}))
        await began(model)
        gone = rpc.call("ModelInfer", request("fake", {"x": 7 * X}))
        await queued(rpc)
        gone.cancel()
        await queued(rpc, rows=0)
        model.go.set()
        await running
        count = 'foldserve_requests_total{route="grpc ModelInfer",status="499"}'
        assert await metric(rpc, count) == 1
    assert len(model.runs) == 1
