"""The page works in a browser under its own policy, which allows nothing else."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.security.browser import Page, found, opened
from tests.service import zoo
from tests.service.keys import KEYS, put
from tests.service.servers import PATIENCE_S, server

FILL = """
(() => {
  const field = document.querySelector(".auth-container input");
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  set.call(field, "%s");
  field.dispatchEvent(new Event("input", { bubbles: true }));
})()
"""
STATUS = ".live-responses-table .response .response-col_status"


@pytest.fixture(scope="module")
def browser() -> str:
    name = found()
    if name is None:
        pytest.skip("no browser: apt install chromium")
    return name


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    zoo.put(folder, "brightness", 1, zoo.brightness_classifier())
    return folder


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return tmp_path / "profile"


def click(page: Page, selector: str) -> None:
    page.until(f"!!document.querySelector({selector!r})")
    page.tell(f"document.querySelector({selector!r}).click()")


def try_out(page: Page, operation: str) -> str:
    """Have the page call an operation without a body; return the status that it shows."""
    block = f"[id$={operation}]"
    click(page, f"{block} .opblock-summary-control")
    click(page, f"{block} .try-out__btn")
    click(page, f"{block} .execute")
    told: str = page.until(f"document.querySelector('{block} {STATUS}')?.innerText")
    return told.split(maxsplit=1)[0]


def operation(url: str, path: str, headers: dict[str, str]) -> str:
    document = httpx.get(f"{url}/openapi.json", headers=headers, timeout=PATIENCE_S).json()
    name: str = document["paths"][path]["get"]["operationId"]
    return name


def test_the_page_calls_the_server_and_its_policy_forbids_nothing_that_it_does(
    browser: str, models: Path, profile: Path, figure: Callable[..., None]
) -> None:
    with server(models) as running, opened(browser, profile) as page:
        name = operation(running.url, "/models", {})
        page.order("Page.navigate", url=f"{running.url}/docs")
        page.until("document.querySelectorAll('.opblock').length > 20")
        assert try_out(page, name) == "200"
        assert page.tell("document.title").startswith("Foldserve")
        assert page.complaints == []
    figure("Page under a strict content policy, in a browser", violations=0)


def test_with_keys_a_browser_asks_for_one_and_the_page_sends_its_own(
    browser: str, models: Path, profile: Path, tmp_path: Path
) -> None:
    key = KEYS["predict"]
    with (
        server(models, API_KEYS=put(tmp_path)) as running,
        opened(browser, profile, ("anybody", key)) as page,
    ):
        name = operation(running.url, "/models", {"X-API-Key": key})
        page.order("Page.navigate", url=f"{running.url}/docs")
        page.until("document.querySelectorAll('.opblock').length > 20")
        assert page.asked_for_password >= 1
        click(page, ".btn.authorize")
        page.until("!!document.querySelector('.auth-container input')")
        page.tell(FILL % key)
        click(page, ".auth-btn-wrapper .authorize")
        click(page, ".auth-btn-wrapper .btn-done")
        assert try_out(page, name) == "200"
        assert page.complaints == []


def test_a_script_that_is_not_the_pages_own_does_not_run(
    browser: str, models: Path, profile: Path
) -> None:
    inject = """
    (() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      return window.ran === true;
    })()
    """
    with server(models) as running, opened(browser, profile) as page:
        page.order("Page.navigate", url=f"{running.url}/docs")
        page.until("document.querySelectorAll('.opblock').length > 20")
        assert page.tell(inject) is False
        page.until("true")
        assert any("script-src" in each for each in page.complaints)
