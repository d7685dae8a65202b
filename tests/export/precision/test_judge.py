"""The rule: what narrower numbers may cost, to the sample."""

from typing import Any

import numpy as np
import pytest

from export.errors import PrecisionError
from export.precision.judge import Judgement, check, judge
from export.signature import signature
from export.sources.original import Feeds
from tests.export.precision.networks import graph

SCORES = np.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3]]  # ranks 0, 1, 2, 3, 0, 1, 2, 3 first


class Fake:
    """A model that puts out rows by the numbers that it is fed."""

    def __init__(self, scores: Any) -> None:
        self.scores = np.asarray(scores)

    def __call__(self, feeds: Feeds) -> list[Any]:
        return [self.scores[feeds["x"][:, 0].astype(int)]]


BATCHES = [{"x": np.arange(8.0).reshape(-1, 1)[rows]} for rows in (slice(0, 5), slice(5, 8))]
TAKEN = signature(graph("y = Relu(x)", {}, inputs="float[n,1] x", outputs="float[n,4] y"))


def judged(after: Any, targets: list[int] | None = None) -> Judgement:
    classes = np.array(targets) if targets is not None else None
    return judge(Fake(SCORES), Fake(after), BATCHES, classes, TAKEN)


def test_agreement_is_counted_over_all_batches() -> None:
    after = SCORES.copy()
    after[[0, 7]] = np.eye(4)[[1, 1]]

    assert judged(after) == Judgement(8, 0.75)


def test_accuracy_is_counted_where_classes_are_known() -> None:
    after = SCORES.copy()
    after[0] = np.eye(4)[3]  # right before
    after[6] = np.eye(4)[0]  # wrong before, right now

    assert judged(after, [0, 1, 2, 3, 0, 1, 0, 0]) == Judgement(8, 0.75, 0.75, 0.75)


def test_outputs_that_cannot_be_ranked_have_no_agreement() -> None:
    assert judge(
        Fake(np.ones((8, 1))),
        Fake(np.ones((8, 1))),
        BATCHES,
        None,
        TAKEN,
    ) == Judgement(8, None)


def test_models_that_agree_on_one_class_for_everything_are_known_as_such() -> None:
    constant = np.eye(4)[[2] * 8]
    alike = judge(Fake(constant), Fake(constant), BATCHES, None, TAKEN)

    assert alike == Judgement(8, 1.0, one_class=True)
    assert not judged(SCORES).one_class


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(PrecisionError, match="not finite"):
        judged(np.where(SCORES == 1, value, 0))


@pytest.mark.parametrize(
    ("judgement", "lost"),
    [
        (Judgement(100, 0.99, 0.90, 0.89), 1.0),  # 0.9 - 0.89 is 0.010000000000000009
        (Judgement(100, 0.99), 1.0),
        (Judgement(1000, 0.5, 0.90, 0.95), -5.0),
        (Judgement(100, None), None),
        (Judgement(100, 1.0, one_class=True), None),
    ],
)
def test_points_lost_are_those_of_accuracy_where_it_is_known(
    judgement: Judgement, lost: float | None
) -> None:
    assert judgement.lost == lost


@pytest.mark.parametrize(
    ("judgement", "message"),
    [
        (
            Judgement(1000, 0.99, 0.95, 0.939),
            r"accuracy falls from 95.00% to 93.90% on 1000 samples: 1.10 points are more than the "
            r"1 allowed; --max-accuracy-drop raises that",
        ),
        (Judgement(1000, 0.989), r"top-1 agrees for 98.90% on 1000 samples: 1.10 points"),
        (Judgement(1000, None), "nothing tells what .* no row of numbers to rank"),
        (
            Judgement(1000, 1.0, one_class=True),
            "nothing tells what .* all 1000 samples fall into one class: --held-out names others",
        ),
    ],
)
def test_what_costs_more_than_a_point_is_refused(judgement: Judgement, message: str) -> None:
    with pytest.raises(PrecisionError, match=message):
        check(judgement, 1.0)


def test_what_costs_a_point_passes_and_what_costs_more_where_that_is_allowed() -> None:
    check(Judgement(1000, 0.9, 0.95, 0.94), 1.0)
    check(Judgement(1000, 0.99), 1.0)
    check(Judgement(1000, 0.5), 50.0)
    check(Judgement(1000, None), 100.0)
    check(Judgement(1000, 1.0, one_class=True), 100.0)
