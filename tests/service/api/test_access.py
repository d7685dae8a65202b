"""With keys, all but live and ready needs one; without, nothing changes."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import structlog
from starlette.routing import Mount, Route

from service.api.express import ExpressLane
from service.app import create_app
from tests.service.api.test_express import BODY, INFER, Reply
from tests.service.apps import running, service_of, settings
from tests.service.keys import bearer, entry, put
from tests.service.pictures import grey

pytestmark = pytest.mark.anyio

STATS = "/v2/models/doubler/stats"
LOAD = "/v2/repository/models/doubler/load"
# The file is looked at once a second; enough for a loaded machine.
PATIENCE_S = 30
SLOW = "requests_per_s = 0.01\nburst = 2"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return put(tmp_path, entry("slow", "fs_slow", "predict", SLOW))


@pytest.fixture
async def guarded(models: Path, keys: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(settings(models, api_keys=keys))) as client:
        yield client


async def test_every_route_needs_a_key_but_live_and_ready(models: Path, keys: Path) -> None:
    app = create_app(settings(models, api_keys=keys))
    free, asked = set(), 0
    async with running(app) as client:
        for route in app.routes:
            assert isinstance(route, Route | Mount), route
            path = route.path.format(name="doubler", version="1", part="try", file="try.js")
            for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE"):
                answer = await client.request(method, path)
                asked += 1
                if answer.status_code != 401:
                    free.add(path)
    assert free == {"/v2/health/live", "/v2/health/ready"}
    assert asked > 100


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "//",
        "//v2/health/live",
        "/v2/health/live/",
        "/v2/health/live%0A",
        "/v2/health/../models",
        "/v2/health/live%2F..%2Fready",
        "/v2/health/live%252F",
        "/v2/health/live;x",
        "/V2/HEALTH/LIVE",
        "/%6detrics",
        "/v2/models/doubler/ready",
    ],
)
async def test_what_is_not_exactly_live_or_ready_tells_nothing(
    guarded: httpx.AsyncClient, path: str
) -> None:
    answer = await guarded.get(f"http://test{path}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]


def password(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anybody:{key}".encode()).decode()}


PAGE = ("/", "/playground/main.js", "/docs", "/openapi.json", "/docs/assets/swagger-ui.css")


@pytest.mark.parametrize("path", PAGE)
async def test_a_browser_is_asked_for_a_key_and_opens_the_page_with_it(
    guarded: httpx.AsyncClient, path: str
) -> None:
    stranger = await guarded.get(path)
    assert stranger.status_code == 401
    assert stranger.headers["www-authenticate"].startswith('Basic realm="')
    for wrong in (password("fs_wrong"), password(""), {"Authorization": "Basic %"}):
        assert (await guarded.get(path, headers=wrong)).status_code == 401
    for right in (password("fs_predict"), bearer("predict")):
        assert (await guarded.get(path, headers=right)).status_code == 200
    assert (await guarded.get(path, headers=password("fs_metrics"))).status_code == 403
    assert (await guarded.post(path, headers=password("fs_predict"))).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("POST", INFER, "fs_predict"),
        ("GET", "/models", "fs_predict"),
        ("GET", "/metrics", "fs_metrics"),
        ("POST", LOAD, "fs_control"),
    ],
)
async def test_what_a_browser_sends_by_itself_opens_nothing_but_the_page(
    guarded: httpx.AsyncClient, method: str, path: str, key: str
) -> None:
    """Else a page of another server could have it done in the name of who opened ours."""
    answer = await guarded.request(method, path, headers=password(key))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    # As the page sends it: with the key that its user gave it, and what the browser adds.
    both = password(key) | {"X-API-Key": key}
    assert (await guarded.request(method, path, headers=both)).status_code != 401


async def test_the_document_says_where_keys_are_needed(models: Path, keys: Path) -> None:
    app = create_app(settings(models, api_keys=keys))
    async with running(app) as client:
        document = (await client.get("/openapi.json", headers=bearer("predict"))).json()
        again = (await client.get("/openapi.json", headers=bearer("predict"))).json()
    assert document == again
    assert document["security"] == [{"bearer": []}, {"header": []}]
    assert document["components"]["securitySchemes"].keys() == {"bearer", "header"}
    operations = {
        path: operation for path, item in document["paths"].items() for operation in item.values()
    }
    free = {path for path, operation in operations.items() if operation.get("security") == []}
    assert free == {"/v2/health/live", "/v2/health/ready"}
    for path, operation in operations.items():
        assert ("401" in operation["responses"]) == (path not in free)
    infer = operations["/v2/models/{name}/infer"]
    assert "scope `predict`" in infer["description"]
    assert "`queue_full`" in infer["responses"]["429"]["description"]
    assert "`rate_limited`" in infer["responses"]["429"]["description"]


async def test_without_keys_the_document_has_none(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert "security" not in document
    assert "securitySchemes" not in document["components"]


async def test_a_flood_of_strangers_is_a_line_in_the_log_and_a_number(
    models: Path, keys: Path
) -> None:
    app = create_app(settings(models, api_keys=keys))
    lane: ExpressLane = app.state.express_lane
    async with running(app) as client:
        with structlog.testing.capture_logs() as lines:
            for _ in range(50):
                assert (await client.get("/models")).status_code == 401
                assert lane.take(INFER.encode(), [], BODY, Reply())
        told = await client.get("/metrics", headers=bearer("metrics"))
    refused = [line for line in lines if line["event"] in {"request", "requests refused"}]
    # A line a second, and one more for those that waited; the test takes a few seconds at most.
    assert 1 <= len(refused) < 50
    assert refused[0]["code"] == "unauthorized"
    assert refused[0]["request_id"]
    for route in ("unmatched", "/v2/models/{name}/infer"):
        assert f'route="{route}",status="401"}} 50.0' in told.text


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/models", "predict"),
        ("GET", "/v2/models/doubler", "predict"),
        ("POST", "/v2/repository/index", "predict"),
        ("GET", "/metrics", "metrics"),
        ("GET", STATS, "metrics"),
        ("POST", LOAD, "control"),
        ("POST", LOAD + "%0A", "control"),
        ("POST", LOAD.replace("load", "lo%61d"), "control"),
    ],
)
async def test_each_path_asks_for_its_scope(
    guarded: httpx.AsyncClient, method: str, path: str, scope: str
) -> None:
    for each in ("predict", "metrics", "control"):
        answer = await guarded.request(method, path, headers=bearer(each))
        refused = answer.status_code == 403 and "scope" in answer.text
        assert refused == (each != scope), (each, answer.text)


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer fs_wrong")],
        [("Authorization", "Basic ZnNfcHJlZGljdA==")],
        [("Authorization", "fs_predict")],
        [("X-API-Key", "")],
        [("X-API-Key", "fs_predict"), ("X-API-Key", "fs_predict")],
        [("X-API-Key", "fs_wrong"), ("Authorization", "Bearer fs_predict")],
    ],
)
async def test_a_request_with_no_known_key_is_refused(
    guarded: httpx.AsyncClient, headers: list[tuple[str, str]]
) -> None:
    answer = await guarded.get("/models", headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize(("name", "value"), [("X-API-Key", ""), ("Authorization", "bearer ")])
async def test_a_key_comes_in_either_header(
    guarded: httpx.AsyncClient, name: str, value: str
) -> None:
    answer = await guarded.get("/models", headers={name: value + "fs_predict"})
    assert answer.status_code == 200


async def test_a_page_is_opened_whatever_the_rate_of_a_key(guarded: httpx.AsyncClient) -> None:
    """A browser fetches dozens of files at once; what they ask for is counted."""
    for path in (*PAGE, *PAGE):
        assert (await guarded.get(path, headers=password("fs_slow"))).status_code == 200
    slow = {"X-API-Key": "fs_slow"}
    found = [(await guarded.get("/models", headers=slow)).status_code for _ in range(3)]
    assert found == [200, 200, 429]


async def test_no_byte_of_a_body_is_read_for_a_stranger(guarded: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    assert (await guarded.post(INFER, content=body())).status_code == 401


async def test_who_asks_too_often_is_told_when_to_ask_again(guarded: httpx.AsyncClient) -> None:
    slow = {"X-API-Key": "fs_slow"}
    found = [await guarded.get("/models", headers=slow) for _ in range(3)]
    assert [answer.status_code for answer in found] == [200, 200, 429]
    # A hundred seconds for each request, of which the test has taken less than half.
    assert 50 < int(found[-1].headers["retry-after"]) <= 100
    assert found[-1].json()["code"] == "rate_limited"


async def test_the_express_lane_asks_for_keys_as_the_app_does(models: Path, keys: Path) -> None:
    app = create_app(settings(models, api_keys=keys))
    lane: ExpressLane = app.state.express_lane
    wanted = {b"fs_predict": 200, b"fs_metrics": 403, b"fs_wrong": 401, None: 401}
    async with running(app) as client:
        for key, status in wanted.items():
            reply = Reply()
            fields = [] if key is None else [(b"x-api-key", key)]
            if lane.take(INFER.encode(), fields, BODY, reply):
                await reply.sent.wait()
                assert reply.status == status, key
            headers = {} if key is None else {"X-API-Key": key.decode()}
            answer = await client.post(INFER, content=BODY, headers=headers)
            assert answer.status_code == status, key


@pytest.mark.parametrize("warm_up", [True, False], ids=["in place", "in threads"])
async def test_a_request_that_the_lane_leaves_to_the_app_is_counted_once(
    models: Path, keys: Path, *, warm_up: bool
) -> None:
    app = create_app(settings(models, api_keys=keys, warm_up=warm_up))
    lane: ExpressLane = app.state.express_lane
    slow = [(b"x-api-key", b"fs_slow")]
    image = [*slow, (b"inference-header-content-length", b"0")]
    async with running(app) as client:
        for _ in range(3):
            assert not lane.take(b"/v2/models/brightness/infer", image, grey(0), Reply())
        answer = await client.post(INFER, content=BODY, headers={"X-API-Key": "fs_slow"})
        assert answer.status_code == 200
        statuses = []
        for body in (b"{", BODY):
            reply = Reply()
            assert lane.take(INFER.encode(), slow, body, reply)
            await reply.sent.wait()
            statuses.append(reply.status)
    assert statuses == [400, 429], "what cannot be read is counted, too"


async def test_of_a_key_that_asks_too_often_the_lane_reads_nothing(
    models: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(settings(models, api_keys=keys))
    lane: ExpressLane = app.state.express_lane
    slow = [(b"x-api-key", b"fs_slow")]
    statuses = []
    async with running(app):
        _, predictor = service_of(app).repository.serving("doubler")
        for _ in range(3):
            reply = Reply()
            assert lane.take(INFER.encode(), slow, BODY, reply)
            await reply.sent.wait()
            statuses.append(reply.status)
            if statuses == [200, 200]:
                monkeypatch.delattr(predictor, "reader")
    assert statuses == [200, 200, 429]


def replace(keys: Path, text: str) -> None:
    new = keys.with_suffix(".new")
    new.write_text(text)
    new.replace(keys)


async def test_keys_are_changed_without_a_restart(guarded: httpx.AsyncClient, keys: Path) -> None:
    new = {"X-API-Key": "fs_new"}
    assert (await guarded.get("/models", headers=new)).status_code == 401
    replace(keys, entry("new", "fs_new", "predict"))
    async with asyncio.timeout(PATIENCE_S):
        while (await guarded.get("/models", headers=new)).status_code != 200:
            pass
    assert (await guarded.get("/models", headers=bearer("predict"))).status_code == 401
    replace(keys, "broken")
    with structlog.testing.capture_logs() as lines:
        async with asyncio.timeout(PATIENCE_S):
            while not any("API" in line["event"] for line in lines):
                assert (await guarded.get("/models", headers=new)).status_code == 200
        assert (await guarded.get("/models", headers=new)).status_code == 200
    assert [line["event"] for line in lines if "API" in line["event"]] == ["the old API keys stay"]


ORIGIN = "https://example.org"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "x-api-key,content-type",
}


async def test_no_page_of_another_origin_may_call_by_default(client: httpx.AsyncClient) -> None:
    answer = await client.get("/models", headers={"Origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(("origin", "allowed"), [(ORIGIN, True), (ORIGIN + ".evil.net", False)])
async def test_pages_of_the_named_origins_may_call(
    models: Path, keys: Path, origin: str, *, allowed: bool
) -> None:
    app = create_app(settings(models, api_keys=keys, cors_origins=(ORIGIN,)))
    lane: ExpressLane = app.state.express_lane
    told = "access-control-allow-origin"
    async with running(app) as client:
        asked = await client.options(INFER, headers=PREFLIGHT | {"Origin": origin})
        refused = await client.post(INFER, content=BODY, headers={"Origin": origin})
        fields = [(b"origin", origin.encode()), (b"x-api-key", b"fs_predict")]
        assert not lane.take(INFER.encode(), fields, BODY, Reply())
    assert (asked.status_code, refused.status_code) == (200 if allowed else 400, 401)
    assert asked.headers.get(told) == refused.headers.get(told) == (origin if allowed else None)
