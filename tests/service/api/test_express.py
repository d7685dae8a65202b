"""The express lane answers as the app does, and leaves to it what it does not take."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from onnx import TensorProto

from service.api.express import ExpressLane
from service.app import create_app
from service.errors import InferenceFailed
from service.lifecycle import Service
from tests.service import zoo
from tests.service.apps import running, service_of, settings
from tests.service.fakes import PATIENCE_S, FakeModel, learn_runs_of

pytestmark = pytest.mark.anyio

INFER = "/v2/models/doubler/infer"
TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1.0, 2.0, 3.0]}
BODY = orjson.dumps({"inputs": [TENSOR]})


class Reply:
    """Takes an answer as a connection would."""

    def __init__(self) -> None:
        self.disconnected = False
        self.sent = asyncio.Event()

    def waits(self, gone: Callable[[], None]) -> None:
        self.gone = gone

    def send(self, status: int, head: bytes, body: bytes) -> None:
        assert not self.sent.is_set(), "a request has one answer"
        self.status, self.body = status, body
        assert head.endswith(b"\r\n")
        lines = head.decode("latin-1").removesuffix("\r\n").split("\r\n")
        self.headers = dict(line.split(": ", 1) for line in lines)
        self.sent.set()


class Both:
    """An app and its lane."""

    def __init__(self, lane: ExpressLane, client: httpx.AsyncClient) -> None:
        self.lane = lane
        self.client = client

    def offer(
        self, body: bytes = BODY, url: str = INFER, headers: Mapping[str, str] | None = None
    ) -> Reply | None:
        """Return where the answer goes, or None if the lane does not take the request."""
        reply = Reply()
        fields = [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
        return reply if self.lane.take(url.encode(), fields, body, reply) else None

    async def ask(self, *request: Any, **more: Any) -> Reply:
        reply = self.offer(*request, **more)
        assert reply is not None
        await reply.sent.wait()
        return reply


@asynccontextmanager
async def both(models: Path, **choices: Any) -> AsyncIterator[Both]:
    app = create_app(settings(models, **choices))
    async with running(app) as client:
        yield Both(app.state.express_lane, client)


def binary(values: Any, **more: Any) -> tuple[bytes, dict[str, str]]:
    array = np.asarray(values, "<f4")
    tensor = {
        "name": "x",
        "shape": list(array.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": array.nbytes},
    }
    head = orjson.dumps({"inputs": [tensor], **more})
    return head + array.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


REQUESTS: dict[str, tuple[bytes, dict[str, str]]] = {
    "json": (BODY, {}),
    "with an id": (orjson.dumps({"id": "a", "inputs": [TENSOR]}), {}),
    "binary": binary([[1, 2, 3], [4, 5, 6]]),
    "binary both ways": binary([[1, 2, 3]], parameters={"binary_data_output": True}),
    "classes": (
        orjson.dumps(
            {
                "inputs": [TENSOR],
                "outputs": [{"name": "y", "parameters": {"classification": 2}}],
            }
        ),
        {},
    ),
    "no rows": binary(np.zeros((0, 3))),
    "wrong shape": (BODY.replace(b"[1,3]", b"[1,4]"), {}),
    "no JSON": (b"{", {}),
    "nothing": (b"", {}),
    "a wrong length": (BODY, {"Inference-Header-Content-Length": "99999"}),
}


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "in threads"])
@pytest.mark.parametrize("name", REQUESTS)
async def test_an_answer_is_the_apps_but_for_its_times(
    models: Path, name: str, *, in_place: bool
) -> None:
    body, headers = REQUESTS[name]
    headers = headers | {"X-Request-ID": "a-request", "Accept-Encoding": "gzip"}
    # What was not measured runs in threads.
    async with both(models, warm_up=in_place) as served:
        mine = await served.ask(body, headers=headers)
        theirs = await served.client.post(INFER, content=body, headers=headers)
    assert mine.status == theirs.status_code
    assert mine.body == theirs.content
    ours, apps = dict(mine.headers), dict(theirs.headers)
    assert ours.pop("server-timing").startswith("decode;dur=")
    assert apps.pop("server-timing").startswith("decode;dur=")
    assert ours == apps


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/v2/models/doubler/versions/12/infer", 200),
        ("/v2/models/nobody/infer", 404),
        ("/v2/models/doubler/versions/7/infer", 404),
    ],
)
async def test_models_and_versions_are_looked_up(models: Path, url: str, status: int) -> None:
    async with both(models) as served:
        assert (await served.ask(url=url)).status == status


@pytest.mark.parametrize(
    "url",
    [
        "/v2/models/doubler",
        "/v2/models/doubler/infer?x=1",
        "/v2/models/doubler/infer/",
        "/v2//models/doubler/infer",
        "/v2/models/%64oubler/infer",
        "/models/brightness/predict",
    ],
)
async def test_other_paths_are_the_apps(models: Path, url: str) -> None:
    async with both(models) as served:
        assert served.offer(url=url) is None


async def test_compressed_and_large_bodies_are_the_apps(models: Path) -> None:
    async with both(models) as served:
        assert served.offer(headers={"Content-Encoding": "gzip"}) is None
        assert served.offer(BODY + b" " * 2**17) is None


async def test_an_answer_of_many_numbers_is_the_apps(tmp_path: Path) -> None:
    zoo.put(tmp_path, "wide", 1, zoo.spread(10_000))
    url = "/v2/models/wide/infer"
    async with both(tmp_path) as served:
        one, two = binary(np.zeros((1, 1))), binary(np.zeros((2, 1)))
        assert served.offer(one[0], url, one[1]) is not None
        assert served.offer(two[0], url, two[1]) is None
        packed = one[1] | {"Accept-Encoding": "gzip"}
        assert served.offer(one[0], url, packed) is None, "it would be compressed in the loop"


async def test_a_header_that_is_there_twice_is_the_apps(models: Path) -> None:
    async with both(models) as served:
        twice = [(b"x-request-id", b"a"), (b"x-request-id", b"b")]
        assert not served.lane.take(INFER.encode(), twice, BODY, Reply())


async def test_encoded_images_are_the_apps(models: Path) -> None:
    image = b"\x89PNG"
    async with both(models) as served:
        headers = {"Inference-Header-Content-Length": "0"}
        assert served.offer(image, "/v2/models/brightness/infer", headers) is None


async def test_requests_of_one_turn_share_a_run(models: Path) -> None:
    async with both(models) as served:
        replies = [served.offer() for _ in range(5)]
        for reply in replies:
            assert reply is not None
            await reply.sent.wait()
            assert reply.status == 200
        metrics = (await served.client.get("/metrics")).text
    assert 'foldserve_batch_rows_sum{model="doubler",version="12"} 5.0' in metrics
    assert 'foldserve_batch_rows_count{model="doubler",version="12"} 1.0' in metrics
    counted = 'foldserve_requests_total{route="/v2/models/{name}/infer",status="200"} 5.0'
    assert counted in metrics


async def test_a_request_is_counted_under_its_route_whatever_the_model_is_called(
    tmp_path: Path,
) -> None:
    zoo.put(tmp_path, "versions", 1, zoo.doubler())
    async with both(tmp_path) as served:
        await served.ask(url="/v2/models/versions/infer")
        metrics = (await served.client.get("/metrics")).text
    assert 'foldserve_requests_total{route="/v2/models/{name}/infer",status="200"} 1.0' in metrics


async def test_a_client_that_is_gone_costs_no_run(models: Path) -> None:
    async with both(models) as served:
        reply = served.offer()
        assert reply is not None
        reply.disconnected = True
        await served.ask()
        metrics = (await served.client.get("/metrics")).text
    assert 'foldserve_batch_rows_sum{model="doubler",version="12"} 1.0' in metrics
    assert not reply.sent.is_set()


@asynccontextmanager
async def held(models: Path, **choices: Any) -> AsyncIterator[tuple[Both, FakeModel, Service]]:
    """Serve a model whose runs are in a thread, and wait there until they may go on."""
    app = create_app(settings(models, warm_up=False, **choices))
    async with running(app) as client:
        _, predictor = service_of(app).repository.serving("doubler")
        predictor.model = model = FakeModel(held=True)
        yield Both(app.state.express_lane, client), model, service_of(app)


async def test_a_client_that_goes_leaves_the_queue_at_once(models: Path) -> None:
    async with held(models) as (served, model, service):
        entry, _ = service.repository.serving("doubler")
        runs, waits = served.offer(), served.offer(BODY.replace(b"2.0", b"4.0"))
        assert runs is not None
        assert waits is not None
        assert entry.in_use.count == served.lane.in_flight.count == 2
        waits.disconnected = True
        waits.gone()
        assert entry.in_use.count == served.lane.in_flight.count == 1
        told = (await served.client.get("/metrics")).text
        assert 'foldserve_requests_total{route="/v2/models/{name}/infer",status="499"} 1.0' in told
        assert await asyncio.to_thread(model.began.acquire, timeout=PATIENCE_S)
        third = served.offer()
        assert third is not None
        third.disconnected = True
        third.gone()
        model.go.set()
        await runs.sent.wait()
        assert runs.status == 200
        assert entry.in_use.count == served.lane.in_flight.count == 0
    assert model.runs == [[[1.0, 2.0, 3.0]]], "who went costs no run"
    assert not waits.sent.is_set()
    assert not third.sent.is_set()


async def test_a_client_that_goes_during_its_run_is_not_answered(models: Path) -> None:
    async with held(models) as (served, model, _):
        goes = served.offer()
        assert goes is not None
        assert await asyncio.to_thread(model.began.acquire, timeout=PATIENCE_S)
        goes.disconnected = True
        goes.gone()
        model.go.set()
        assert (await served.ask()).status == 200
        assert served.lane.in_flight.count == 0
    assert not goes.sent.is_set()


async def test_what_finds_no_room_is_refused_unread(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_runs_of(10.0, monkeypatch)
    async with held(models, request_timeout_s=5) as (served, model, _):
        model.go.set()
        assert (await served.ask()).status == 200
        model.go.clear()
        first = served.offer()
        assert first is not None
        refused = await served.ask(b"no JSON")
        assert refused.status == 429
        assert refused.headers["foldserve-error"] == "overloaded"
        assert int(refused.headers["retry-after"]) > 0
        image = {"Inference-Header-Content-Length": "0"}
        assert (await served.client.post(INFER, content=b"no JSON")).status_code == 429
        assert (await served.client.post(INFER, content=b"?", headers=image)).status_code == 429
        model.go.set()
        await first.sent.wait()
        statistics = (await served.client.get("/v2/models/doubler/stats")).json()["model_stats"]
    assert statistics[-1]["inference_stats"]["fail"]["count"] == 3


async def test_an_output_that_json_cannot_carry_spares_its_batch_mates(tmp_path: Path) -> None:
    zoo.put(tmp_path, "log", 1, zoo.logarithm())
    bad, good = BODY.replace(b"2.0", b"0.0"), BODY
    url = "/v2/models/log/infer"
    async with both(tmp_path) as served:
        replies = [served.offer(each, url) for each in (bad, good)]
        for reply in replies:
            assert reply is not None
            await reply.sent.wait()
    assert [reply.status for reply in replies if reply] == [500, 200]
    assert replies[0] is not None
    assert orjson.loads(replies[0].body) == {"error": "output 'y' holds NaN or infinity"}


async def test_a_bug_is_answered_and_told_to_the_log_alone(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(settings(models))
    async with running(app) as client:
        _, predictor = service_of(app).repository.serving("doubler")
        predictor.model = Odd(predictor.model, {"z": np.zeros((1, 3))})
        reply = await Both(app.state.express_lane, client).ask()
    assert reply.status == 500
    assert orjson.loads(reply.body)["error"].startswith("an unexpected error")
    assert reply.headers["x-request-id"] in capsys.readouterr().out


async def test_a_failed_run_is_an_error_of_the_protocol(models: Path) -> None:
    app = create_app(settings(models))
    async with running(app) as client:
        _, predictor = service_of(app).repository.serving("doubler")
        predictor.model = Odd(predictor.model, InferenceFailed("the model failed on this input"))
        reply = await Both(app.state.express_lane, client).ask()
    assert reply.status == 500
    assert orjson.loads(reply.body) == {"error": "the model failed on this input"}


class Odd:
    """A model that answers what no model does."""

    def __init__(self, model: Any, answer: Any) -> None:
        self.signature = model.signature
        self.manifest = model.manifest
        self.provider = model.provider
        self.hangs = False
        self._answer = answer

    def run(self, _inputs: Any) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def terminate(self) -> None:
        pass


async def test_before_the_start_and_after_the_end_it_answers_503(models: Path) -> None:
    app = create_app(settings(models))
    lane = Both(app.state.express_lane, httpx.AsyncClient())
    assert (await lane.ask()).status == 503
    async with running(app):
        assert (await lane.ask()).status == 200
    assert (await lane.ask()).status == 503


async def test_an_integer_model_is_answered_too(tmp_path: Path) -> None:
    zoo.put(tmp_path, "doubler", 1, zoo.doubler(TensorProto.INT64))
    body = orjson.dumps({"inputs": [TENSOR | {"datatype": "INT64", "data": [1, 2, 3]}]})
    async with both(tmp_path) as served:
        reply = await served.ask(body)
    assert orjson.loads(reply.body)["outputs"][0]["data"] == [2, 4, 6]


@pytest.mark.parametrize(("count", "taken"), [(10, True), (5000, False)])
async def test_many_texts_behind_the_json_are_the_apps(
    tmp_path: Path, count: int, taken: bool
) -> None:
    zoo.put(tmp_path, "same", 1, zoo.identity(TensorProto.STRING, ("batch", count)))
    tensor = {"name": "x", "shape": [1, count], "datatype": "BYTES"}
    text = orjson.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": 4 * count}}]})
    headers = {"Inference-Header-Content-Length": str(len(text))}
    async with both(tmp_path) as same:
        reply = same.offer(text + bytes(4 * count), "/v2/models/same/infer", headers)
        assert (reply is not None) is taken
