"""A neighbourhood as inline SVG; the page's style sheet colors it."""

from collections.abc import Sequence
from itertools import pairwise

from export.page.layout import BOX_HEIGHT, BOX_WIDTH, Point, layered
from export.page.neighbourhood import Box, Neighbourhood
from export.page.text import text

MARGIN = 20.0  # for tags and for words about what is not drawn
LONGEST_NAME = 25  # characters of 11 pixels that fit into a box
TAGS = {"affine": "this one", "blocker": "forbids it"}


def svg(neighbourhood: Neighbourhood, title: str) -> str:
    """Draw a neighbourhood.

    Args:
        neighbourhood: What to draw.
        title: What the picture shows, for those who do not see it; its edges follow.

    Returns:
        One ``<svg>`` element with every name escaped and no outside reference.
    """
    layout = layered(len(neighbourhood.boxes), neighbourhood.edges)
    width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    edges = "".join(map(_edge, layout.routes))
    boxes = "".join(map(_box, neighbourhood.boxes, layout.corners))
    return (
        f'<svg role="img" viewBox="{-MARGIN:g} {-MARGIN:g} {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}">'
        f"<title>{text(title)}</title><desc>{text(_described(neighbourhood))}</desc>"
        f'<g class="edges">{edges}</g>{boxes}</svg>'
    )


def _described(neighbourhood: Neighbourhood) -> str:
    boxes = neighbourhood.boxes
    return "; ".join(
        f"{boxes[source].title} {boxes[source].name} to {boxes[reader].title} {boxes[reader].name}"
        for source, reader in neighbourhood.edges
    )


def _box(box: Box, corner: Point) -> str:
    x, y = corner
    tag = _tag(TAGS[box.role], corner) if box.role in TAGS else ""
    radius = 24 if box.role in ("input", "output") else 6
    full = f"{box.title} {box.name}"
    return (
        f'<g class="box {box.role}"><title>{text(full)}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH:g}" height="{BOX_HEIGHT:g}" rx="{radius}"/>'
        f"{_line(box.title, corner, 20, 'operator')}"
        f"{_line(_shortened(box.name), corner, 38, 'name')}"
        f"{_line(box.shape, corner, 55, 'shape')}{tag}{_stub(box, corner)}</g>"
    )


def _line(words: str, corner: Point, down: float, kind: str) -> str:
    x, y = corner[0] + BOX_WIDTH / 2, corner[1] + down
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{text(words)}</text>' if words else ""


def _tag(words: str, corner: Point) -> str:
    width = 7 * len(words) + 10
    x, y = corner[0] + BOX_WIDTH - width + 4, corner[1] - 15
    return (
        f'<g class="tag"><rect x="{x:g}" y="{y:g}" width="{width}" height="18" rx="9"/>'
        f'<text x="{x + width / 2:g}" y="{y + 13:g}">{words}</text></g>'
    )


def _stub(box: Box, corner: Point) -> str:
    """How many neighbours of a box are not drawn, below it and left of where its edges leave."""
    counts = ((box.more_sources, "in"), (box.more_readers, "out"))
    words = ", ".join(f"+{count} {way}" for count, way in counts if count)
    at = f'x="{corner[0] + 4:g}" y="{corner[1] + BOX_HEIGHT + 13:g}"'
    return f'<text class="stub" {at}>{words}</text>' if words else ""


def _edge(route: Sequence[Point]) -> str:
    start = f"M{route[0][0]:g} {route[0][1]:g}"
    curves = "".join(_curve(a, b) for a, b in pairwise(route))
    x, y = route[-1]
    head = f'<path class="head" d="M{x - 4:g} {y - 7:g}L{x:g} {y:g}L{x + 4:g} {y - 7:g}z"/>'
    return f'<path d="{start}{curves}"/>{head}'


def _curve(start: Point, end: Point) -> str:
    middle = (start[1] + end[1]) / 2
    return f"C{start[0]:g} {middle:g} {end[0]:g} {middle:g} {end[0]:g} {end[1]:g}"


def _shortened(name: str) -> str:
    """The end of a long name: there it says which layer it is."""
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"
