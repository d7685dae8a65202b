"""axe-core finds nothing to mend, in both themes and at the width of a phone."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.browser.person import bars, choose, chosen

AXE = ".venv/node/node_modules/axe-core/axe.min.js"
WINDOWS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}


@pytest.fixture(scope="session")
def axe(root: Path) -> str:
    path = root / AXE
    if not path.exists():
        pytest.skip(f"there is no {AXE}: apt install npm, make install")
    return path.read_text()


def violations(page: Page, axe: str) -> list[str]:
    """What axe finds, by all of its rules, those of good practice too."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document)")["violations"]
    return [
        f"{rule['id']}: {node['html']} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


def answered(page: Page, picture: Path) -> None:
    chosen(page, "digits")
    choose(page, picture)
    bars(page)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/#/try/digits", "#answer"),
        ("/#/try/signals", "#signal-plot svg"),
        ("/#/try/pair", "#tensor"),
        ("/#/model/clothes", "#fold-table tr"),
        ("/#/model/broken", "#card dt"),
        ("/#/server", "#tables tr"),
    ],
)
def test_every_view_is_accessible(
    visit: Open, axe: str, window: str, path: str, shown: str
) -> None:
    page = visit(path, **WINDOWS[window]).page
    expect(page.locator(shown).first).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert violations(page, axe) == []


@pytest.mark.parametrize("window", WINDOWS)
def test_an_answer_a_drawing_and_a_problem_are_accessible(
    visit: Open, axe: str, seven: Path, window: str
) -> None:
    page = visit("/#/try/digits", **WINDOWS[window]).page
    answered(page, seven)
    assert violations(page, axe) == []
    page.check("input[value=drawing]")
    assert violations(page, axe) == []
    page.check("input[value=picture]")
    choose(page, Path(__file__))
    expect(page.locator("#answer-body .problem")).to_be_visible()
    assert violations(page, axe) == []


@pytest.mark.parametrize("window", WINDOWS)
def test_the_dialogs_are_accessible(visit: Open, axe: str, window: str) -> None:
    page = visit("/#/try/digits", **WINDOWS[window]).page
    chosen(page, "digits")
    page.evaluate("import('/playground/key.js').then((it) => it.askForKey())")
    expect(page.locator("#key-dialog")).to_be_visible()
    assert violations(page, axe) == []
    page.keyboard.press("Escape")
    page.evaluate("import('/playground/try/camera.js').then((it) => void it.takePicture())")
    expect(page.locator("#shutter")).to_be_enabled()
    assert violations(page, axe) == []


def test_axe_sees_what_is_not_accessible(visit: Open, axe: str) -> None:
    page = visit("/#/try/digits").page
    chosen(page, "digits")
    page.evaluate("document.querySelector('#model').parentElement.firstChild.remove()")
    page.evaluate("document.querySelector('#summary').style.color = 'silver'")
    found = [each.split(":")[0] for each in violations(page, axe)]
    assert {"select-name", "color-contrast"} <= set(found)
