"""Boxes stand in layers, apart from each other, and edges go down."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.page.layout import BOX_HEIGHT, BOX_WIDTH, layered

COUNTS = st.integers(1, 14)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """Graphs without cycles: an edge leads from a lower number to a higher one."""
    count = draw(COUNTS)
    pairs = list(combinations(range(count), 2))
    return count, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []


@given(graphs())
def test_no_box_covers_another_and_all_are_inside(graph: tuple[int, list[tuple[int, int]]]) -> None:
    layout = layered(*graph)

    for x, y in layout.corners:
        assert -1e-6 <= x <= layout.width - BOX_WIDTH + 1e-6  # sums of floats
        assert 0 <= y <= layout.height - BOX_HEIGHT
    for (ax, ay), (bx, by) in combinations(layout.corners, 2):
        assert abs(ax - bx) >= BOX_WIDTH - 1e-6 or abs(ay - by) >= BOX_HEIGHT


@given(graphs())
def test_every_edge_leads_down_from_its_source_to_its_reader(
    graph: tuple[int, list[tuple[int, int]]],
) -> None:
    count, edges = graph
    layout = layered(count, edges)

    assert len(layout.corners) == count
    for (source, reader), route in zip(edges, layout.routes, strict=True):
        heights = [y for _, y in route]
        assert heights == sorted(heights)
        assert heights[0] == layout.corners[source][1] + BOX_HEIGHT
        assert heights[-1] == layout.corners[reader][1]


@given(graphs())
def test_no_edge_runs_through_a_box(graph: tuple[int, list[tuple[int, int]]]) -> None:
    """Between layers curves stay between; beside boxes they go straight down a lane."""
    layout = layered(*graph)

    for route in layout.routes:
        for x, top in route[1:-1]:
            for left, y in layout.corners:
                beside = x <= left or x >= left + BOX_WIDTH
                assert beside or not y <= top <= y + BOX_HEIGHT


def test_a_chain_is_a_straight_line() -> None:
    layout = layered(3, [(0, 1), (1, 2)])

    assert len({x for x, _ in layout.corners}) == 1
    assert layout.width == BOX_WIDTH


def test_two_readers_stand_side_by_side_below_the_middle_of_their_source() -> None:
    (top, _), (left, row), (right, same) = layered(3, [(0, 1), (0, 2)]).corners

    assert row == same
    assert top == pytest.approx((left + right) / 2)


def test_nothing_is_an_empty_picture() -> None:
    assert layered(0, []).corners == ()
