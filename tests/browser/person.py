"""What a person does with the page, and what it shows then."""

from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import PATIENCE_MS

Point = tuple[float, float]
"""Where on the canvas, from 0 to 1."""

NO_BREAK = "\N{NO-BREAK SPACE}"  # between a number and its unit

# The shape of a seven: its bar, and the way down.
SEVEN: Sequence[Point] = ((0.25, 0.15), (0.75, 0.15), (0.55, 0.5), (0.45, 0.88))


def chosen(page: Page, model: str) -> None:
    """Wait for a model to be shown."""
    expect(page.locator("#model")).to_have_value(model, timeout=PATIENCE_MS)
    expect(page.locator("#state .mark")).to_be_visible()


def choose(page: Page, file: Path) -> None:
    """Choose a picture, once the page has a place for one."""
    expect(page.locator("label[for=file]")).to_be_visible()
    page.set_input_files("#file", file)


def bars(page: Page) -> list[tuple[str, str]]:
    """The classes of the answer that is there, with their probabilities in words."""
    page.wait_for_selector(".bars li")
    items = page.locator(".bars li").all()
    return [(words(each.locator(".label")), words(each.locator(".value"))) for each in items]


def words(place: Locator) -> str:
    """The text of a place, with plain blanks."""
    return place.inner_text().replace(NO_BREAK, " ")


def in_words(probability: float) -> str:
    """A probability as the page writes it."""
    if 0 < probability < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if 0.999 < probability < 1 else f"{100 * probability:.1f} %"


def draw(page: Page, points: Sequence[Point] = SEVEN) -> None:
    """Draw a line with the mouse."""
    canvas = page.locator("#drawing")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()
