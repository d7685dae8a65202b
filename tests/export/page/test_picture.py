"""Pictures are well-formed and say what they show, whatever the names are."""

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from export.page.neighbourhood import Box, Neighbourhood
from export.page.picture import LONGEST_NAME, svg

HOSTILE = "</title><script>alert(1)</script>\"'&\x00\u202e]]>"


def drawn(*boxes: Box, edges: tuple[tuple[int, int], ...] = ()) -> ElementTree.Element:
    # Made a line above: no document of anybody else is parsed.
    return ElementTree.fromstring(svg(Neighbourhood(boxes, edges), "a picture"))  # noqa: S314 - our own text


def texts(picture: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in picture.iter("text")]


@pytest.mark.parametrize("field", ["title", "name", "shape"])
def test_a_hostile_name_is_text(field: str) -> None:
    hostile: Any = {field: HOSTILE}

    picture = drawn(replace(Box("affine", "Relu", "r", "n"), **hostile))

    assert {element.tag for element in picture.iter()} == {
        *("svg", "title", "desc", "g", "rect", "text")
    }
    assert any("\N{REPLACEMENT CHARACTER}" in text for text in texts(picture))


def test_what_matters_is_marked_in_words_too() -> None:
    picture = drawn(Box("affine", "BatchNormalization", "bn"), Box("blocker", "MaxPool", "pool"))

    assert {"this one", "forbids it"} <= set(texts(picture))
    assert {"box affine", "box blocker"} <= {group.get("class") for group in picture.iter("g")}


def test_of_a_long_name_the_end_is_shown_and_the_whole_is_at_hand() -> None:
    name = "network." + "stages." * 10 + "conv"

    picture = drawn(Box("plain", "Conv", name))

    (shown,) = (text for text in texts(picture) if text.startswith("…"))
    assert len(shown) == LONGEST_NAME
    assert name.endswith(shown[1:])
    assert f"Conv {name}" in [title.text for title in picture.iter("title")]


def test_what_is_not_drawn_is_told() -> None:
    both = texts(drawn(Box("plain", "Add", "a", "n", more_sources=1, more_readers=3)))
    one = texts(drawn(Box("plain", "Add", "a", "n", more_readers=3)))

    assert both[-1] == "+1 in, +3 out"
    assert one[-1] == "+3 out"


def test_edges_are_drawn_and_told_to_those_who_do_not_see_them() -> None:
    picture = drawn(Box("plain", "Conv", "c"), Box("plain", "Relu", "r"), edges=((0, 1),))

    assert len(list(picture.iter("path"))) == 2  # a line and its head
    assert picture.findtext("desc") == "Conv c to Relu r"
    assert picture.get("role") == "img"
