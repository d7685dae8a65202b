"""The page at ``/docs`` works in a browser under its own policy, which allows nothing else.

It is FastAPI's; our own, at ``/``, is tried in tests/browser.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Visit, started
from tests.service import zoo
from tests.service.keys import KEYS, put
from tests.service.servers import PATIENCE_S, server

STATUS = ".live-responses-table .response .response-col_status"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    zoo.put(folder, "brightness", 1, zoo.brightness_classifier())
    return folder


def opened(visit: Visit) -> Page:
    page = visit.go("/docs").page
    expect(page.locator(".opblock").nth(20)).to_be_visible()
    return page


def try_out(page: Page, operation: str) -> str:
    """Have the page call an operation without a body; return the status that it shows."""
    block = page.locator(f"[id$={operation}]")
    block.locator(".opblock-summary-control").click()
    block.locator(".try-out__btn").click()
    block.locator(".execute").click()
    return block.locator(STATUS).inner_text().split(maxsplit=1)[0]


def operation(url: str, path: str, headers: dict[str, str]) -> str:
    document = httpx.get(f"{url}/openapi.json", headers=headers, timeout=PATIENCE_S).json()
    name: str = document["paths"][path]["get"]["operationId"]
    return name


def test_the_page_calls_the_server_and_its_policy_forbids_nothing_that_it_does(
    browser: Browser, models: Path, figure: Callable[..., None]
) -> None:
    with server(models) as running:
        name = operation(running.url, "/models", {})
        visit = Visit(browser, running.url)
        page = opened(visit)
        assert try_out(page, name) == "200"
        assert page.title().startswith("Foldserve")
        visit.check()
    figure("Page under a strict content policy, in a browser", violations=0)


def test_with_keys_a_browser_asks_for_one_and_the_page_sends_its_own(
    browser: Browser, models: Path, tmp_path: Path
) -> None:
    key = KEYS["predict"]
    with server(models, API_KEYS=put(tmp_path)) as running:
        name = operation(running.url, "/models", {"X-API-Key": key})
        stranger = Visit(browser, running.url)
        answer = stranger.page.request.get(f"{running.url}/docs")
        assert (answer.status, answer.headers["www-authenticate"][:5]) == (401, "Basic")
        visit = Visit(
            browser, running.url, http_credentials={"username": "anybody", "password": key}
        )
        page = opened(visit)
        page.click(".btn.authorize")
        page.fill(".auth-container input >> nth=0", key)
        page.click(".auth-btn-wrapper .authorize >> nth=0")
        page.click(".auth-btn-wrapper .btn-done >> nth=0")
        assert try_out(page, name) == "200"
        visit.check()


def test_a_script_that_is_not_the_pages_own_does_not_run(browser: Browser, models: Path) -> None:
    inject = """() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      return window.ran === true;
    }"""
    with server(models) as running:
        visit = Visit(browser, running.url)
        page = opened(visit)
        assert page.evaluate(inject) is False
        assert any("script-src" in each for each in visit.complaints)
