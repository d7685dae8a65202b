"""Every error code over HTTP, in the shape of its path."""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service import errors
from service.api.problems import protocol, title
from service.app import create_app
from tests.service import zoo
from tests.service.apps import client_of, running, service_of, settings
from tests.service.fakes import FakeModel, learn_runs_of
from tests.service.pictures import grey

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PREDICT = "/models/brightness/predict"
INFER = "/v2/models/doubler/infer"
TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
GOOD = {"inputs": [TENSOR]}


def leaves(kind: type[errors.ServiceError] = errors.ServiceError) -> Iterator[Any]:
    for child in kind.__subclasses__():
        if child.__subclasses__():
            yield from leaves(child)
        else:
            yield child


# One request for each error that needs nothing but a request.
REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "body_too_large": ("POST", PREDICT, {"content": b"x" * 2000}),
    "unsupported_encoding": (
        "POST",
        PREDICT,
        {"content": grey(0), "headers": {"Content-Encoding": "br"}},
    ),
    "invalid_encoding": (
        "POST",
        PREDICT,
        {"content": grey(0), "headers": {"Content-Encoding": "gzip"}},
    ),
    "invalid_multipart": ("POST", PREDICT, {"files": {"picture": b"x"}}),
    "invalid_json": ("POST", INFER, {"content": b"{"}),
    "invalid_request": ("POST", INFER, {"json": {}}),
    "invalid_tensor": ("POST", INFER, {"json": {"inputs": [TENSOR | {"data": [1]}]}}),
    "batch_too_large": (
        "POST",
        INFER,
        {"json": {"inputs": [TENSOR | {"shape": [5, 3], "data": [1] * 15}]}},
    ),
    "invalid_image": ("POST", PREDICT, {"content": grey(0, kind="JPEG")[:300]}),
    "unsupported_image": ("POST", PREDICT, {"content": b"hello"}),
    "image_too_large": ("POST", PREDICT, {"content": grey(0, (11, 10))}),
    "invalid_parameter": ("POST", f"{PREDICT}?top_k=0", {"content": grey(0)}),
    "model_takes_no_images": ("POST", "/models/doubler/predict", {"content": grey(0)}),
    "not_found": ("GET", "/nothing/here", {}),
    "method_not_allowed": ("PUT", PREDICT, {}),
    "model_not_found": ("GET", "/models/nothing", {}),
    "version_not_found": ("POST", "/models/brightness/versions/9/predict", {}),
    "model_not_ready": ("POST", "/models/broken/predict", {}),
    "output_not_finite": (
        "POST",
        "/v2/models/log/infer",
        {"json": {"inputs": [TENSOR | {"data": [0, 1, 1]}]}},
    ),
    "inference_failed": (
        "POST",
        "/v2/models/halves/infer",
        {"json": {"inputs": [TENSOR | {"shape": [3]}]}},
    ),
}
# Those that need a server in a certain state have a test of their own below.
STATES = {
    "body_timeout",
    "malformed_request",  # and the next three: tests/security/test_connections.py
    "target_too_long",
    "head_too_large",
    "too_many_connections",
    "control_plane_off",  # and the next: test_control_plane.py
    "load_failed",
    "queue_full",
    "overloaded",
    "run_timed_out",  # and the next: inference/test_watchdog.py, chaos/test_hung_run.py
    "out_of_memory",
    "not_ready",
    "shutting_down",
    "deadline_exceeded",
    "internal_error",
    "unauthorized",  # and the next two: api/test_access.py
    "forbidden",
    "not_local",  # test_control_port.py
    "rate_limited",
}


@pytest.fixture
async def everything(models: Path) -> Any:
    """A server with small bounds and a model for every failure."""
    zoo.put(models, "log", 1, zoo.logarithm())
    zoo.put(models, "halves", 1, zoo.halves())
    zoo.put(models, "broken", 1, zoo.doubler()).write_bytes(b"garbage")
    bounds = {"max_body_bytes": 1500, "max_image_pixels": 100, "max_batch_size": 4}
    async with running(create_app(settings(models, warm_up=False, **bounds))) as client:
        yield client


def assert_shape(answer: httpx.Response, error: type[errors.ServiceError]) -> None:
    """The whole answer but for the message, which is a sentence of its own."""
    assert answer.status_code == error.status
    assert answer.headers["foldserve-error"] == error.code
    request_id = answer.headers["x-request-id"]
    if protocol(answer.request.url.path):
        assert answer.headers["content-type"] == "application/json"
        assert answer.json().keys() == {"error"}
        assert answer.json()["error"]
        return
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body.pop("detail")
    assert body == {
        "type": f"urn:foldserve:problem:{error.code}",
        "title": title(error),
        "status": error.status,
        "code": error.code,
        "request_id": request_id,
    }


def by_code(code: str) -> Any:
    return next(error for error in leaves() if error.code == code)


@pytest.mark.parametrize("code", REQUESTS)
async def test_a_request_that_fails_is_answered_in_the_shape_of_its_path(
    everything: httpx.AsyncClient, code: str
) -> None:
    method, path, content = REQUESTS[code]
    assert_shape(await everything.request(method, path, **content), by_code(code))


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/v2/nothing", errors.NotFound),
        ("/v2/models/nothing", errors.ModelNotFound),
        ("/v2/models/doubler/versions/9/infer", errors.VersionNotFound),
    ],
)
async def test_under_v2_what_is_not_found_has_the_protocols_shape(
    everything: httpx.AsyncClient, path: str, error: type[errors.ServiceError]
) -> None:
    method = "POST" if path.endswith("infer") else "GET"
    assert_shape(await everything.request(method, path), error)


async def test_under_v2_a_wrong_method_has_the_protocols_shape(
    everything: httpx.AsyncClient,
) -> None:
    answer = await everything.delete(INFER)
    assert_shape(answer, errors.MethodNotAllowed)
    assert answer.headers["allow"] == "POST"


def test_every_code_is_tested_once_and_every_leaf_has_its_own() -> None:
    codes = [error.code for error in leaves()]
    assert len(codes) == len(set(codes))
    assert set(codes) == REQUESTS.keys() | STATES


def test_the_drawing_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"(\w+) +(\d{3})  (\w+)", errors.__doc__ or "")
    assert drawn == [(each.__name__, str(each.status), each.code) for each in leaves()]


def held_app(models: Path, **choices: Any) -> tuple[FastAPI, FakeModel]:
    zoo.put(models, "fake", 1, zoo.doubler())
    model = FakeModel(held=True)
    open_model: Callable[..., FakeModel] = lambda _path, _options: model  # noqa: E731 -- one line
    return create_app(settings(models, warm_up=False, **choices), open_model), model


async def infer(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/v2/models/fake/infer", json=GOOD)


async def test_a_full_queue_answers_429_at_once_and_says_when_to_come_back(tmp_path: Path) -> None:
    app, model = held_app(tmp_path, max_batch_size=1, max_queue_size=1)
    async with running(app) as client:
        first = asyncio.ensure_future(infer(client))
        await asyncio.to_thread(model.began.acquire)
        waiting = asyncio.ensure_future(infer(client))
        for _ in range(50):  # more turns of the loop than a request takes to its queue
            await asyncio.sleep(0)
        waits = b'foldserve_waiting_rows{model="fake",version="1"} 1.0'
        assert waits in service_of(app).metrics.exposition()
        refused = await infer(client)
        model.go.set()
        answers = await asyncio.gather(first, waiting)
    assert_shape(refused, errors.QueueFull)
    assert refused.headers["retry-after"] == "1"
    assert [each.status_code for each in answers] == [200, 200]


async def test_what_would_be_late_answers_429_at_once_and_says_when_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_runs_of(10.0, monkeypatch)
    app, model = held_app(tmp_path, max_batch_size=1, request_timeout_s=9.0)
    async with running(app) as client:
        model.go.set()
        assert (await infer(client)).status_code == 200
        await asyncio.to_thread(model.began.acquire)
        model.go.clear()
        first = asyncio.ensure_future(infer(client))
        await asyncio.to_thread(model.began.acquire)
        refused = await infer(client)
        model.go.set()
        assert (await first).status_code == 200
    assert_shape(refused, errors.Overloaded)
    # Half of the run under way and its own, less the time that it may wait itself.
    assert refused.headers["retry-after"] == str(math.ceil(5 + 10 - 0.8 * 9))


async def test_a_request_past_its_deadline_answers_504(tmp_path: Path) -> None:
    app, model = held_app(tmp_path, request_timeout_s=0.05)
    async with running(app) as client:
        answer = await infer(client)
        model.go.set()
    assert_shape(answer, errors.DeadlineExceeded)


async def test_a_body_that_stops_coming_answers_408(models: Path) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    app = create_app(settings(models, body_timeout_s=0.05))
    async with running(app) as client:
        answer = await client.post(INFER, content=stalled())
    assert_shape(answer, errors.BodyTimeout)
    assert answer.headers["connection"] == "close"


async def test_a_body_that_drips_answers_408_though_it_never_stops(models: Path) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0)

    async with running(create_app(settings(models, body_timeout_s=0.05))) as client:
        answer = await client.post(INFER, content=dripping())
    assert_shape(answer, errors.BodyTimeout)


async def test_a_request_to_a_server_that_is_closing_answers_503(tmp_path: Path) -> None:
    app, model = held_app(tmp_path)
    async with running(app) as client:
        first = asyncio.ensure_future(infer(client))
        await asyncio.to_thread(model.began.acquire)
        closing = asyncio.ensure_future(service_of(app).close())
        await asyncio.sleep(0)
        refused = await infer(client)
        model.go.set()
        assert (await first).status_code == 200, "what was admitted is answered"
        await closing
    assert_shape(refused, errors.ShuttingDown)


async def test_a_server_that_has_not_started_answers_503(models: Path) -> None:
    async with client_of(create_app(settings(models))) as client:
        assert_shape(await client.get("/models"), errors.NotReady)


@pytest.mark.parametrize("path", ["/boom", "/v2/boom"])
async def test_an_unexpected_error_answers_500_and_shows_nothing_of_it(
    models: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def boom() -> None:
        raise RuntimeError("secret")

    app = create_app(settings(models))
    app.add_api_route(path, boom)
    async with running(app) as client:
        answer = await client.get(path)
    assert_shape(answer, errors.InternalError)
    assert "secret" not in answer.text
    logged = capsys.readouterr().out
    assert "secret" in logged
    assert answer.headers["x-request-id"] in logged


async def test_an_error_after_the_answer_has_begun_closes_the_connection(models: Path) -> None:
    async def half(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("secret")

    app = create_app(settings(models))
    app.mount("/half", half)
    async with running(app) as client:
        with pytest.raises(RuntimeError):
            await client.get("/half/way")


async def test_what_the_framework_refuses_has_our_shape_too(models: Path) -> None:
    async def typed(number: int) -> int:
        return number

    async def teapot() -> None:
        from fastapi import HTTPException

        raise HTTPException(418, "short and stout")

    app = create_app(settings(models))
    app.add_api_route("/typed", typed)
    app.add_api_route("/teapot", teapot)
    async with running(app) as client:
        wrong = await client.get("/typed?number=x")
        other = await client.get("/teapot")
    assert_shape(wrong, errors.InvalidParameter)
    assert_shape(other, errors.InvalidRequest)
    assert wrong.json()["detail"].startswith("number: ")


async def test_a_run_that_fails_is_logged_with_its_cause_that_no_client_sees(
    everything: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    method, path, content = REQUESTS["inference_failed"]
    answer = await everything.request(method, path, **content)
    logged = capsys.readouterr().out
    assert "run failed" in logged
    assert "Reshape" in logged
    assert "Reshape" not in answer.text
