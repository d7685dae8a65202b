"""Places the boxes of a small graph in layers, from top to bottom.

The method of Sugiyama, Tagawa and Toda (1981) in its plainest form: layers by the longest way,
edges over several layers cut into pieces, the order in a layer by the mean of the neighbours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]
Edge = tuple[int, int]

BOX_WIDTH = 180.0  # two of them fit a phone, at four fifths
BOX_HEIGHT = 66.0
ROW_GAP = 40.0
COLUMN_GAP = 20.0
LANE_WIDTH = 16.0  # of an edge that passes a layer
SWEEPS = 8  # the order of two dozen boxes settles in fewer


@dataclass(frozen=True)
class Layout:
    """Where everything stands, in pixels.

    Attributes:
        width: Of the whole.
        height: Of the whole.
        corners: Of every box the upper left one.
        routes: Of every edge the points that it passes, from the lower side of its source to the
            upper side of its reader.
    """

    width: float
    height: float
    corners: tuple[Point, ...]
    routes: tuple[tuple[Point, ...], ...]


def layered(count: int, edges: Sequence[Edge]) -> Layout:
    """Lay out `count` boxes without a cycle between them.

    Args:
        count: How many.
        edges: Pairs of indices, from source to reader.
    """
    levels = _levels(count, edges)
    paths = [_path(edge, levels) for edge in edges]  # adds a lane to `levels` for each piece
    links = [pair for path in paths for pair in pairwise(path)]
    widths = [BOX_WIDTH if item < count else LANE_WIDTH for item in range(len(levels))]
    rows = _ordered(levels, links)
    centres = _centres(rows, links, widths)
    left = min((centres[item] - widths[item] / 2 for item in range(len(levels))), default=0.0)
    right = max((centres[item] + widths[item] / 2 for item in range(len(levels))), default=0.0)
    spots = [
        (centres[item] - left, levels[item] * (BOX_HEIGHT + ROW_GAP)) for item in range(len(levels))
    ]
    height = max(len(rows) * (BOX_HEIGHT + ROW_GAP) - ROW_GAP, 0.0)
    corners = tuple((x - BOX_WIDTH / 2, y) for x, y in spots[:count])
    return Layout(right - left, height, corners, tuple(_route(path, spots) for path in paths))


def _levels(count: int, edges: Sequence[Edge]) -> list[int]:
    """The layer of every box; what has no source stands right above its first reader."""
    levels = [0] * count
    for _ in range(count):
        for source, reader in edges:
            levels[reader] = max(levels[reader], levels[source] + 1)
    sources = set(range(count)) - {reader for _, reader in edges}
    for item in sources:
        levels[item] = min((levels[to] - 1 for start, to in edges if start == item), default=0)
    return levels


def _path(edge: Edge, levels: list[int]) -> list[int]:
    """The items from a source to its reader, with a new lane on each layer between."""
    source, reader = edge
    lanes = range(levels[source] + 1, levels[reader])
    first = len(levels)
    levels.extend(lanes)
    return [source, *range(first, first + len(lanes)), reader]


def _ordered(levels: Sequence[int], links: Sequence[Edge]) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(max(levels, default=-1) + 1)]
    for item, level in enumerate(levels):
        rows[level].append(item)
    for sweep in range(SWEEPS):
        near = _neighbours(links, upward=sweep % 2 == 0)
        spots = {item: float(spot) for row in rows for spot, item in enumerate(row)}
        for row in rows if sweep % 2 == 0 else reversed(rows):
            row.sort(key=_mean_of(near, spots))
            spots.update((item, float(spot)) for spot, item in enumerate(row))
    return rows


def _neighbours(links: Sequence[Edge], *, upward: bool) -> dict[int, list[int]]:
    near: dict[int, list[int]] = {}
    for source, reader in links:
        item, other = (reader, source) if upward else (source, reader)
        near.setdefault(item, []).append(other)
    return near


def _mean_of(near: dict[int, list[int]], spots: dict[int, float]) -> Callable[[int], float]:
    def mean(item: int) -> float:
        others = near.get(item)
        return sum(spots[other] for other in others) / len(others) if others else spots[item]

    return mean


def _centres(
    rows: Sequence[list[int]], links: Sequence[Edge], widths: Sequence[float]
) -> dict[int, float]:
    """The x of every item: as near to the mean of its neighbours as the others let it be."""
    centres: dict[int, float] = {}
    for row in rows:
        _place(row, [0.0] * len(row), widths, centres)
    for sweep in range(SWEEPS):
        near = _neighbours(links, upward=sweep % 2 == 0)
        for row in rows if sweep % 2 == 0 else reversed(rows):
            mean = _mean_of(near, centres)
            _place(row, [mean(item) for item in row], widths, centres)
    return centres


def _place(
    row: Sequence[int], wanted: Sequence[float], widths: Sequence[float], centres: dict[int, float]
) -> None:
    """Put a row where it wants to be, without overlaps and on the whole neither left nor right."""
    placed: list[float] = []
    edge = -float("inf")
    for item, spot in zip(row, wanted, strict=True):
        placed.append(max(spot, edge + widths[item] / 2))
        edge = placed[-1] + widths[item] / 2 + COLUMN_GAP
    drift = sum(a - b for a, b in zip(placed, wanted, strict=True)) / len(row)
    centres.update((item, spot - drift) for item, spot in zip(row, placed, strict=True))


def _route(path: Sequence[int], spots: Sequence[Point]) -> tuple[Point, ...]:
    first, last = spots[path[0]], spots[path[-1]]
    lanes = [point for item in path[1:-1] for point in _lane(spots[item])]
    return ((first[0], first[1] + BOX_HEIGHT), *lanes, last)


def _lane(spot: Point) -> tuple[Point, Point]:
    return spot, (spot[0], spot[1] + BOX_HEIGHT)
