"""Request ids, security headers, log lines and bounds around every request."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from service.app import create_app
from tests.service import zoo
from tests.service.apps import running, service_of, serving, settings
from tests.service.fakes import FakeModel
from tests.service.pictures import grey

pytestmark = pytest.mark.anyio

PREDICT = "/models/brightness/predict"


@pytest.mark.parametrize("given", ["abc-123", "a" * 128, "0.1_x"])
async def test_a_sane_request_id_is_kept(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/models", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "a b", 'x"y', "<script>", "a\tb"])
async def test_any_other_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/models", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize("path", ["/models", "/nothing", "/v2/nothing", "/metrics", "/docs"])
async def test_every_answer_has_the_security_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_an_answer_of_data_may_load_nothing(client: httpx.AsyncClient) -> None:
    policy = (await client.get("/models")).headers["content-security-policy"]
    assert policy == "default-src 'none'; frame-ancestors 'none'"


async def test_a_request_is_one_line_in_the_log_without_its_body(models: Path) -> None:
    async with serving(models, access_log="all") as client:
        with structlog.testing.capture_logs() as lines:
            await client.post(PREDICT, content=grey(0))
    line = next(each for each in lines if each["event"] == "request")
    words = {"event", "log_level", "method", "path", "status", "milliseconds", "request_id"}
    assert line.keys() == words
    assert (line["method"], line["path"], line["status"]) == ("POST", PREDICT, 200)


async def test_a_path_is_logged_encoded_and_steers_no_terminal(models: Path) -> None:
    async with serving(models) as client:
        with structlog.testing.capture_logs() as lines:
            await client.get("/a%0Ab%1B[2J%C2%9B")
    line = next(each for each in lines if each["event"] == "request")
    assert line["path"] == "/a%0Ab%1B%5B2J%C2%9B"


@pytest.mark.parametrize(("access_log", "logged"), [("all", 2), ("errors", 1), ("none", 0)])
async def test_which_requests_are_logged_can_be_chosen(
    models: Path, access_log: str, logged: int
) -> None:
    async with serving(models, access_log=access_log) as client:
        with structlog.testing.capture_logs() as lines:
            await client.post(PREDICT, content=grey(0))
            await client.post(PREDICT, content=b"no image")
    assert len([each for each in lines if each["event"] == "request"]) == logged


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_body_without_a_length_is_read_in_pieces(client: httpx.AsyncClient) -> None:
    image = grey(255)
    answer = await client.post(PREDICT, content=stream(image[:20], b"", image[20:]))
    assert answer.json()["predictions"][0]["label"] == "bright"


async def test_a_body_that_grows_past_the_bound_is_refused_while_it_comes(models: Path) -> None:
    taken: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            taken.append(1)
            assert len(taken) < 100, "the server goes on reading"
            yield b"x" * 1000

    async with serving(models, max_body_bytes=2000) as client:
        answer = await client.post(PREDICT, content=endless())
    assert answer.status_code == 413


def scope() -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": PREDICT,
        "raw_path": PREDICT.encode(),
        "query_string": b"",
        "headers": [],
        "root_path": "",
    }


@pytest.mark.parametrize("begun", [False, True])
async def test_a_request_that_the_server_gives_up_is_told_so(models: Path, begun: bool) -> None:
    app = create_app(settings(models))
    waits = asyncio.Event()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        waits.set()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # never

    async def send(message: Any) -> None:
        sent.append(message)

    async def half(_scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()

    app.mount("/half", half)
    async with running(app):
        where = scope() | ({"path": "/half/way"} if begun else {})
        task = asyncio.ensure_future(app(where, receive, send))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [each.get("status") for each in sent] == ([200] if begun else [503, None])
    assert begun or b'"shutting_down"' in sent[1]["body"]


async def test_a_client_that_goes_away_is_no_error(models: Path) -> None:
    app = create_app(settings(models))
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async with running(app):
        await app(scope(), receive, send)
        counted = service_of(app).metrics.exposition().decode()
    assert sent == []
    assert 'route="/models/{name}/predict",status="499"' in counted


async def test_a_request_whose_client_went_away_leaves_the_queue_and_is_counted(
    tmp_path: Path,
) -> None:
    zoo.put(tmp_path, "fake", 1, zoo.doubler())
    model = FakeModel(held=True)
    app = create_app(settings(tmp_path, warm_up=False), lambda _path, _options: model)
    body = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}'
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    def call(*messages: dict[str, Any]) -> asyncio.Task[None]:
        coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for message in ({"type": "http.request", "body": body}, *messages):
            coming.put_nowait(message)
        where = scope() | {"path": "/v2/models/fake/infer"}
        return asyncio.ensure_future(app(where, coming.get, send))

    async with running(app):
        first = call()
        await asyncio.to_thread(model.began.acquire)
        await call({"type": "http.request", "body": b""}, {"type": "http.disconnect"})
        counted = service_of(app).metrics.exposition().decode()
        assert sent == []
        model.go.set()
        await first
    assert 'foldserve_waiting_rows{model="fake",version="1"} 0.0' in counted
    assert 'route="/v2/models/{name}/infer",status="499"' in counted
    assert len(model.runs) == 1
    assert sent[0]["status"] == 200
