"""All that clients may ask at once, each with what may be answered to it: good, bad and slow.

Numbers, names and lengths differ from request to request, so that whatever the server keeps of
each of them is seen to grow.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos import bad_asks, good_asks
from tests.chaos.asks import MILL, WIDE, Ask, Call, Rng
from tests.service import zoo

Kind = Callable[[Rng], Ask | Call]

GOOD: Sequence[tuple[Kind, int]] = (
    (good_asks.in_place, 14),
    (good_asks.by_the_app, 8),
    (good_asks.as_bytes, 10),
    (good_asks.packed, 4),
    (good_asks.wide, 2),
    (good_asks.v1, 6),
    (good_asks.milled, 4),
    (good_asks.picture, 5),
    (good_asks.form, 5),
    (good_asks.pages, 4),
    (good_asks.called, 8),
)
"""Each with its share."""

BAD: Sequence[tuple[Kind, int]] = (
    (bad_asks.no_json, 2),
    (bad_asks.wrong_shape, 2),
    (bad_asks.nobody, 2),
    (bad_asks.cut_picture, 2),
    (bad_asks.no_picture, 1),
    (bad_asks.cut_form, 1),
    (bad_asks.no_http, 2),
    (bad_asks.too_large, 1),
    (bad_asks.poison, 2),
    (bad_asks.late, 2),
    (bad_asks.called_wrong, 1),
    (bad_asks.called_nobody, 1),
)


def put_models(root: Path) -> None:
    """Write the models beside ``m`` and ``brightness`` into a repository."""
    zoo.put(root, "wide", 1, zoo.doubler(shape=("batch", WIDE)))
    zoo.put(root, "mill", 1, zoo.mill(MILL, turns=60))
    zoo.put(root, "picker", 1, zoo.picker())
