"""Words stand out from their paper, by day and by night."""

import re
from importlib.resources import files
from itertools import pairwise

import pytest

ENOUGH = 4.5  # WCAG 2.2, success criterion 1.4.3, for text of any size
PAIRS = [
    ("ink", "paper"),
    ("ink", "card"),
    ("soft", "paper"),
    ("soft", "card"),
    ("link", "card"),
    ("gone", "gone-paper"),
    ("left", "left-paper"),
    ("kept", "kept-paper"),
    ("ink", "left-paper"),
    ("ink", "kept-paper"),
    ("soft", "left-paper"),
    ("soft", "kept-paper"),
    ("card", "left"),
    ("card", "kept"),
]
STYLE = files("export.page").joinpath("style.css").read_text("utf-8")


def palettes() -> dict[str, dict[str, str]]:
    """The colors by day and by night, as ``{"ink": "1d2125"}``."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    colors = [dict(re.findall(r"--([a-z-]+): #([0-9a-f]+);", block)) for block in blocks]
    return dict(zip(("day", "night"), colors, strict=True))


def luminance(color: str) -> float:
    """Relative luminance as WCAG defines it; three digits stand for six."""
    digits = color if len(color) == 6 else "".join(digit * 2 for digit in color)
    parts = [int(digits[start:end], 16) / 255 for start, end in pairwise((0, 2, 4, 6))]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("time", ["day", "night"])
@pytest.mark.parametrize(("words", "paper"), PAIRS)
def test_words_can_be_told_from_their_paper(time: str, words: str, paper: str) -> None:
    colors = palettes()[time]
    assert contrast(colors[words], colors[paper]) >= ENOUGH


def test_the_measure_of_contrast_is_that_of_the_standard() -> None:
    assert contrast("000", "ffffff") == pytest.approx(21)
    assert contrast("777777", "ffffff") < ENOUGH < contrast("767676", "ffffff")


def test_every_color_that_is_used_is_one_of_both_palettes() -> None:
    used = set(re.findall(r"var\(--([a-z-]+)\)", STYLE))
    for colors in palettes().values():
        assert used == set(colors)
