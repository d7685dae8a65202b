"""The pictures of the page in docs/pictures: taken here, by ``make screenshots``.

Without a folder in ``PICTURES`` they are taken for this test alone.
"""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.chromium import PATIENCE_MS
from tests.browser.conftest import Open
from tests.browser.person import bars, choose, chosen, draw
from tests.browser.test_page import PHONE
from tests.service.servers import PATIENCE_S, Server

DOCS = "docs/pictures"
WINDOW = {"viewport": {"width": 1200, "height": 820}}
# Flat colours: so many are enough, and the file is a third.
COLOURS = 192
NAMES = {
    f"{what}-{theme}.png"
    for what in ("try", "fold-report", "server", "phone")
    for theme in ("light", "dark")
}
LARGEST = 150_000  # bytes of a picture that lies in the repository


@pytest.fixture(scope="session")
def folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    asked = os.environ.get("PICTURES")
    found = root / asked if asked else tmp_path_factory.mktemp("pictures")
    found.mkdir(parents=True, exist_ok=True)
    return found


def take(page: Page, folder: Path, name: str, *, whole: bool = True) -> None:
    """Write a picture, of the whole page or of what the window shows."""
    path = folder / f"{name}.png"
    assert path.name in NAMES
    page.mouse.move(0, 0)
    page.screenshot(path=path, full_page=whole, animations="disabled")
    picture = Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    assert path.stat().st_size < LARGEST
    assert len(picture.getcolors() or ()) > 20  # it is no empty page


@pytest.fixture
def loaded(served: Server, seven: Path) -> Iterator[threading.Event]:
    """Some requests at once, from four clients, until the event is set."""
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=served.url, timeout=PATIENCE_S) as client:
            while not over.wait(0.004):
                client.post("/models/digits/predict", content=seven.read_bytes())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield over
    over.set()
    for thread in threads:
        thread.join(PATIENCE_S)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_prediction_in_both_themes(visit: Open, folder: Path, theme: str) -> None:
    page = visit("/#/try/digits", color_scheme=theme, **WINDOW).page
    chosen(page, "digits")
    page.check("input[value=drawing]")
    draw(page)
    assert bars(page)[0][0] == "7"
    page.click("#again")  # the first request of a page opens the connection
    page.locator("#answer-title").click()
    take(page, folder, f"try-{theme}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_fold_report_with_batch_norms_that_stay(visit: Open, folder: Path, theme: str) -> None:
    page = visit("/#/model/clothes", color_scheme=theme, **WINDOW).page
    chosen(page, "clothes")
    expect(page.locator("#fold-table .mark[data-remains=kept]")).to_have_count(4)
    take(page, folder, f"fold-report-{theme}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_server_under_load(
    visit: Open, folder: Path, loaded: threading.Event, theme: str
) -> None:
    page = visit("/#/server", color_scheme=theme, **WINDOW).page
    line = page.locator("[data-chart=latency] svg[role=img] path.series-1")
    # Eight looks: a line that goes somewhere.
    expect(line).to_have_attribute("d", re.compile("(L.*){7}"), timeout=PATIENCE_MS)
    loaded.set()
    take(page, folder, f"server-{theme}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone(visit: Open, folder: Path, seven: Path, theme: str) -> None:
    page = visit("/#/try/digits", color_scheme=theme, device_scale_factor=2, **PHONE).page
    choose(page, seven)
    assert bars(page)[0][0] == "7"
    take(page, folder, f"phone-{theme}")


def test_the_pictures_in_the_documentation_are_these(root: Path) -> None:
    assert {path.name for path in (root / DOCS).glob("*.png")} == NAMES
