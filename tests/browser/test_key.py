"""A server that asks for keys, and the page that asks a person for one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.chromium import Visit
from tests.browser.person import bars, choose, chosen
from tests.service.keys import KEYS, entry, put
from tests.service.servers import Server, server

BOTH = entry("both", "fs_both", 'predict", "metrics')


@pytest.fixture(scope="module")
def guarded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    slow = entry("slow", "fs_slow", "predict", "requests_per_s = 2")
    keys = put(tmp_path_factory.mktemp("keys"), BOTH + slow)
    with server(models, API_KEYS=keys) as running:
        yield running


@pytest.fixture
def stranger(browser: Browser, guarded: Server) -> Iterator[Visit]:
    """A visitor who gave the browser a key as the password; the page has none yet."""
    credentials = {"username": "anybody", "password": KEYS["predict"]}
    visit = Visit(browser, guarded.url, http_credentials=credentials)
    yield visit
    visit.check()
    visit.context.close()


def give(page: Page, key: str) -> None:
    expect(page.locator("#key-dialog")).to_be_visible()
    page.fill("#key-value", key)
    page.keyboard.press("Enter")


def test_with_keys_the_page_asks_for_one_until_it_is_right(stranger: Visit, seven: Path) -> None:
    page = stranger.go("/#/try/digits").page
    give(page, "fs_wrong")
    expect(page.locator("#trouble")).to_contain_text("unauthorized")
    give(page, "fs_both")
    chosen(page, "digits")
    expect(page.locator("#trouble")).to_be_hidden()
    choose(page, seven)
    assert bars(page)[0][0] == "7"
    page.click("nav >> text=Server")
    page.wait_for_selector("#tables tr")
    stranger.go("/#/model/digits")  # the tab keeps the key
    chosen(page, "digits")


def test_a_key_without_the_scope_of_metrics_is_told_so(stranger: Visit) -> None:
    page = stranger.go("/#/server").page
    give(page, KEYS["predict"])
    words = page.locator("#server-words")
    expect(words).to_contain_text("The API key is not for what is asked")
    expect(words).to_contain_text("Use a key that has the scope")
    page.click("#key")
    give(page, "fs_both")
    page.wait_for_selector("#tables tr")


def test_a_key_is_forgotten_when_a_person_says_so(stranger: Visit) -> None:
    page = stranger.go("/#/try/digits").page
    give(page, KEYS["predict"])
    chosen(page, "digits")
    page.click("#key")
    expect(page.locator("#trouble")).to_be_hidden()  # with the words of the first visit in it
    page.click("#key-dialog button[value=forget]")
    expect(page.locator("#trouble")).to_be_visible()
    expect(page.locator("#trouble")).to_contain_text("unauthorized")
    assert page.evaluate("sessionStorage.length") == 0


def test_a_late_answer_to_an_old_key_asks_for_no_other(stranger: Visit) -> None:
    """Of the requests without a key the slowest comes back behind the key."""
    page = stranger.page
    late: list[Route] = []
    page.route("**/v2", lambda route: late.append(route), times=1)  # noqa: PLW0108 -- it sets a mark on it
    stranger.go("/#/try/digits")
    give(page, KEYS["predict"])
    chosen(page, "digits")
    with page.expect_response("**/v2") as answer:
        late[0].continue_()
    assert answer.value.status == 401
    answer.value.finished()
    # The page has read it by then, and has drawn what it makes of it.
    page.evaluate(
        "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))"
    )
    expect(page.locator("#key-dialog")).to_be_hidden()


def test_a_key_with_a_low_rate_opens_the_page_as_well(stranger: Visit) -> None:
    page = stranger.go("/#/try/digits").page
    give(page, "fs_slow")
    chosen(page, "digits")
    expect(page.locator("#trouble")).to_be_hidden()
