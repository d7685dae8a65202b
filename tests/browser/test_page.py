"""The page as a whole: themes, keyboard, phones, TLS, a server that goes away."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from service import errors
from tests.browser.chromium import PATIENCE_MS, Visit
from tests.browser.conftest import Open
from tests.browser.person import bars, choose, chosen
from tests.service import certificates
from tests.service.servers import Server, server

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
VIEWS = ("/#/try/digits", "/#/try/signals", "/#/try/pair", "/#/model/clothes", "/#/server")
GROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(251, 250, 247)", "rgb(22, 24, 27)"


def test_the_theme_is_the_systems_until_a_person_chooses(visit: Open) -> None:
    found = visit("/", color_scheme="dark")
    page = found.page
    assert page.evaluate(GROUND) == DARK
    page.emulate_media(color_scheme="light")
    assert page.evaluate(GROUND) == LIGHT
    page.select_option("#theme", "dark")
    assert page.evaluate(GROUND) == DARK
    found.go()
    assert page.evaluate(GROUND) == DARK
    assert page.input_value("#theme") == "dark"
    page.select_option("#theme", "system")
    assert page.evaluate(GROUND) == LIGHT


def test_nothing_moves_for_those_who_want_no_motion(visit: Open, seven: Path) -> None:
    page = visit("/#/try/digits", reduced_motion="reduce").page
    choose(page, seven)
    bars(page)
    moved = "getComputedStyle(document.querySelector('.filled')).transitionDuration"
    assert page.evaluate(moved) == "0s"
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moved) != "0s"


@pytest.mark.parametrize("path", VIEWS)
def test_a_phone_need_not_scroll_sideways(visit: Open, seven: Path, path: str) -> None:
    page = visit(path, **PHONE).page
    page.wait_for_load_state("networkidle")
    if "digits" in path:
        choose(page, seven)
        bars(page)
    if "server" in path:
        page.wait_for_selector("#tables tr")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 320, "height": 640})  # the narrowest that WCAG names
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def focused(page: Page) -> str:
    told: str = page.evaluate(
        """() => {
          const { activeElement: it } = document;
          return it.id || it.textContent.trim() || it.value || it.tagName;
        }"""
    )
    return told


def tab_until(page: Page, wanted: str) -> None:
    """Press Tab until the focus is there; each stop on the way can be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            """() => {
              const { activeElement: it } = document;
              if (it === document.body) return true; // between the last and the first
              const around = [it, ...(it.labels ?? []), it.previousElementSibling];
              return around.some((each) => each && getComputedStyle(each).outlineStyle !== "none");
            }"""
        )
        assert seen, focused(page)
        if focused(page) == wanted:
            return
    raise AssertionError(f"Tab does not come to {wanted}")


def test_a_digit_is_drawn_and_read_with_the_keyboard_alone(visit: Open) -> None:
    page = visit("/").page
    page.wait_for_selector("#state .mark")
    tab_until(page, "model")
    page.keyboard.type("digits")
    chosen(page, "digits")
    tab_until(page, "picture")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#drawing")).to_be_visible()
    tab_until(page, "drawing")
    steps = [*["ArrowLeft"] * 7, *["ArrowUp"] * 2, " ", *["ArrowRight"] * 14]
    for key in [*steps, *["ArrowDown", "ArrowDown", "ArrowLeft"] * 9, " "]:
        page.keyboard.press(key)
    expect(page.locator("#said")).to_contain_text("7, ")
    assert bars(page)[0][0] == "7"
    page.keyboard.press("Backspace")
    expect(page.locator("#said")).to_have_text("The sheet is empty.")


def test_the_views_are_reached_with_the_keyboard_and_say_where_one_is(visit: Open) -> None:
    page = visit("/#/try/clothes").page
    chosen(page, "clothes")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    assert focused(page) == "main"
    assert page.evaluate("location.hash") == "#main"
    page.go_back()
    tab_until(page, "Model")
    page.keyboard.press("Enter")
    expect(page.locator("#title-model")).to_be_focused()
    expect(page).to_have_title("Model · Foldserve")
    expect(page.locator("nav [aria-current=page]")).to_have_text("Model")
    expect(page.locator("#model")).to_have_value("clothes")
    tab_until(page, "fold-text")
    page.keyboard.type("head")
    expect(page.locator("#fold-shown")).to_have_text("1 of 9 shown")
    page.go_back()
    expect(page.locator("#view-try")).to_be_visible()


def test_an_address_that_names_nothing_shows_a_model_that_can_answer(visit: Open) -> None:
    for path in ("/", "/#/", "/#/nothing", "/#/try/nothing/7", "/#/try/%E0%A4%A"):
        page = visit(path).page
        chosen(page, "clothes")  # the first that is ready
        expect(page.locator("#view-try")).to_be_visible()


def test_a_page_that_is_opened_again_is_asked_for_without_a_body(visit: Open) -> None:
    found = visit("/")
    chosen(found.page, "clothes")
    again: list[tuple[str, int, int]] = []
    found.page.on("requestfinished", lambda request: again.append(transferred(request)))
    found.page.reload()
    chosen(found.page, "clothes")
    scripts = [each for each in again if each[0].endswith(".js")]
    assert len(scripts) > 20
    assert {status for _, status, _ in scripts} <= {200, 304}
    assert sum(size for _, _, size in scripts) == 0


def transferred(request: Any) -> tuple[str, int, int]:
    return request.url, request.response().status, request.sizes()["responseBodySize"]


def test_a_script_that_is_not_the_pages_own_does_not_run(visit: Open, browser: Browser) -> None:
    url = visit("/").url
    stranger = Visit(browser, url).go("/")
    inject = """() => {
      const script = document.createElement("script");
      try { script.textContent = "globalThis.ran = true"; } catch { return "refused"; }
      document.body.append(script);
      return globalThis.ran === true;
    }"""
    assert stranger.page.evaluate(inject) == "refused"  # by trusted types; else by script-src
    foreign = "fetch('http://127.0.0.2:1/').catch(() => {})"
    stranger.page.evaluate(foreign)
    assert any("trusted-types" in each for each in stranger.complaints)
    assert any("connect-src" in each for each in stranger.complaints)
    with pytest.raises(AssertionError):
        stranger.check()
    stranger.context.close()


def test_every_error_of_the_service_comes_with_what_to_do(visit: Open) -> None:
    page = visit("/").page
    advice = """async ([status, code]) => {
      const { Problem } = await import("/playground/problem.js");
      return new Problem(status, "", "", { code }).advice;
    }"""
    asked: list[tuple[int, str | None]]
    asked = [(leaf.status, leaf.code) for leaf in leaves(errors.ServiceError)]
    asked += [(400, None), (404, None), (413, None), (429, None), (503, None), (0, None)]
    assert len(asked) > 30
    for status, code in asked:
        assert page.evaluate(advice, [status, code]) != "", (status, code)
    assert page.evaluate(advice, [299, None]) == ""


def leaves(error: type[errors.ServiceError]) -> Iterator[type[errors.ServiceError]]:
    for child in error.__subclasses__():
        yield from leaves(child) if child.__subclasses__() else [child]


def test_a_moment_without_an_answer_passes_by_itself(browser: Browser, served: Server) -> None:
    visit = Visit(browser, served.url)
    page = visit.page
    page.route("**/models", lambda route: route.abort(), times=1)
    visit.go("/#/try/digits")
    expect(page.locator("#trouble")).to_contain_text("The server does not answer")
    chosen(page, "digits")
    expect(page.locator("#trouble")).to_be_hidden()
    visit.check()
    visit.context.close()


def test_over_tls_the_page_is_the_same(
    browser: Browser, models: Path, seven: Path, tmp_path: Path
) -> None:
    with server(models, **certificates.files(tmp_path).choices()) as running:
        visit = Visit(browser, running.url, ignore_https_errors=True)
        page = visit.go("/#/try/digits").page
        chosen(page, "digits")
        choose(page, seven)
        assert bars(page)[0][0] == "7"
        expect(page.locator("#calls")).to_contain_text(f"{running.url}/models/digits/predict")
        visit.check()
        visit.context.close()
    assert running.url.startswith("https://")


def test_a_server_that_goes_away_and_comes_back_is_followed(
    browser: Browser, models: Path, seven: Path
) -> None:
    with server(models) as first:
        visit = Visit(browser, first.url)
        page = visit.go("/#/try/digits").page
        chosen(page, "digits")
        expect(page.locator("#pulse")).to_have_text("ready")
        first.stop()
        choose(page, seven)
        expect(page.locator("#answer-body .problem")).to_contain_text("The server does not answer")
        expect(page.locator("#gone")).to_be_visible(timeout=PATIENCE_MS)
        expect(page.locator("#pulse")).to_have_text("no answer")
    with server(models, PORT=first.port):
        expect(page.locator("#gone")).to_be_hidden(timeout=PATIENCE_MS)
        expect(page.locator("#pulse")).to_have_text("ready")
        page.click("#again")
        assert bars(page)[0][0] == "7"
        visit.check()
        visit.context.close()
