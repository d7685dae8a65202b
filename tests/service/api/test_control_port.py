"""Commands are taken over the control port alone, and there only from this machine."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.api.express import ExpressLane
from service.app import create_app
from tests.service import zoo
from tests.service.apps import client_of, control_url, running, settings

pytestmark = pytest.mark.anyio

PORT = 8002
LOAD = "/v2/repository/models/doubler/load"
INDEX = "/v2/repository/index"
PATHS = ("/v2/health/live", "/models", "/docs", "/nothing", "//", "/v2/models/doubler/infer")


@pytest.fixture
async def control(models: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(settings(models, control_port=PORT))) as client:
        yield client


async def test_the_same_server_takes_commands_on_one_port_and_not_on_the_other(
    models: Path,
) -> None:
    app = create_app(settings(models, control_port=PORT))
    async with running(app) as control, client_of(app) as public:
        for client, status in ((control, 200), (public, 403)):
            for path in (LOAD, LOAD.replace("load", "unload"), LOAD):
                assert (await client.post(path)).status_code == status
            assert (await client.get("/models")).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8002", "127.0.0.2:8002", "test"])
async def test_a_client_that_says_that_it_came_by_the_control_port_did_not(
    models: Path, host: str
) -> None:
    app = create_app(settings(models, control_port=PORT))
    async with running(app), client_of(app, "http://10.0.0.1:8000") as public:
        answer = await public.post(LOAD, headers={"Host": host})
        forwarded = {"Forwarded": "for=127.0.0.1", "X-Forwarded-Host": "127.0.0.1:8002"}
        other = await public.post(LOAD, headers=forwarded)
    assert (answer.status_code, other.status_code) == (403, 403)


async def test_a_folder_that_nobody_has_loaded_is_told_to_who_may_load_it(models: Path) -> None:
    app = create_app(settings(models, control_port=PORT))
    async with running(app) as control, client_of(app) as public:
        zoo.put(models, "secret", 1, zoo.doubler())
        assert "secret" in (await control.post(INDEX)).text
        told = await public.post(INDEX)
        assert told.status_code == 200
        assert "secret" not in told.text


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:9000", "[::1]:8002"]
)
async def test_it_is_asked_by_this_machines_own_name(control: httpx.AsyncClient, host: str) -> None:
    assert (await control.post(LOAD, headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "example.org:8002"},
        {"Host": "localhost.example.org"},
        {"Host": "127.0.0.1.nip.io:8002"},
        {"Host": "localhost:8002@example.org"},
        {"Host": "evil localhost"},
        {"Host": "10.0.0.1:8002"},
        {"Host": ""},
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "https://127.0.0.1:8002"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_no_path_answers_a_page_of_elsewhere(
    control: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for path in (LOAD, *PATHS):
        answer = await control.post(path, headers=headers)
        assert answer.status_code == 403, path
        assert "control port" in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_two_names_are_none(control: httpx.AsyncClient) -> None:
    hosts = [("Host", "localhost"), ("Host", "example.org")]
    assert (await control.post(LOAD, headers=hosts)).status_code == 403


async def test_its_own_page_may_ask(control: httpx.AsyncClient) -> None:
    headers = {"Origin": control_url(PORT), "Sec-Fetch-Site": "same-origin"}
    assert (await control.post(LOAD, headers=headers)).status_code == 200


async def test_the_express_lane_leaves_the_control_port_to_the_app(models: Path) -> None:
    lane: ExpressLane = create_app(settings(models, control_port=PORT)).state.express_lane
    assert not lane.serves(("127.0.0.1", PORT))
    assert lane.serves(("127.0.0.1", 8000))
    assert lane.serves(("10.0.0.1", PORT))
    without: ExpressLane = create_app(settings(models)).state.express_lane
    assert without.serves(("127.0.0.1", 8000))
    assert without.serves(None)
