"""Scores to ranked labels."""

import math
from typing import Any

import numpy as np
import pytest

from service.errors import InferenceFailed, OutputNotFinite
from service.images.postprocessing import probabilities, rank


def scores(*values: float, dtype: Any = np.float32) -> Any:
    return np.array(values, dtype)


def test_the_softmax_is_that_of_the_textbook_in_float64() -> None:
    found = probabilities(scores(1, 2, 3), "logits")
    total = math.e + math.e**2 + math.e**3
    expected = [math.e / total, math.e**2 / total, math.e**3 / total]
    # Four roundings of float64; a float32 softmax is a billion times further off.
    assert np.allclose(found, expected, rtol=1e-15, atol=0)
    assert found.dtype == np.float64


def test_the_check_of_the_softmax_can_fail() -> None:
    single = np.exp(scores(1, 2, 3)) / np.exp(scores(1, 2, 3)).sum()
    assert not np.allclose(probabilities(scores(1, 2, 3), "logits"), single, rtol=1e-15, atol=0)


def test_huge_logits_do_not_overflow() -> None:
    assert probabilities(scores(1e30, -1e30), "logits").tolist() == [1.0, 0.0]


def test_a_logit_of_minus_infinity_is_impossible() -> None:
    assert probabilities(scores(0, -np.inf), "logits").tolist() == [1.0, 0.0]


def test_probabilities_are_left_as_they_are() -> None:
    assert probabilities(scores(0.25, 0.75), "probabilities").tolist() == [0.25, 0.75]


@pytest.mark.parametrize("bad", [(np.nan, 0), (np.inf, 0), (-np.inf, -np.inf)])
def test_scores_that_are_not_finite_are_an_error(bad: tuple[float, float]) -> None:
    with pytest.raises(OutputNotFinite):
        probabilities(scores(*bad), "logits")


def test_the_likeliest_come_first_with_their_labels() -> None:
    ranked = rank(np.array([0.2, 0.5, 0.3]), ["a", "b", "c"], 2)
    assert [(each.label, each.index, each.probability) for each in ranked] == [
        ("b", 1, 0.5),
        ("c", 2, 0.3),
    ]


def test_equal_classes_keep_their_order() -> None:
    assert [each.index for each in rank(np.array([0.25] * 4), None, 4)] == [0, 1, 2, 3]


def test_without_labels_a_class_is_named_by_its_index() -> None:
    assert rank(np.array([0.1, 0.9]), None, 1)[0].label == "1"


def test_scores_that_are_not_the_labels_fail_and_name_no_class() -> None:
    with pytest.raises(InferenceFailed, match="2 labels and scored 3"):
        rank(np.array([0.5, 0.3, 0.2]), ["a", "b"], 1)


def test_a_temperature_divides_the_logits_and_keeps_their_order() -> None:
    logits = np.array([3.0, 1.0, 2.0], np.float32)
    found = probabilities(logits, "logits", 2.0)

    np.testing.assert_allclose(found, probabilities(logits / 2, "logits"), rtol=1e-12)
    assert found.argsort().tolist() == logits.argsort().tolist()
    assert found[0] < probabilities(logits, "logits")[0]


def test_a_temperature_leaves_probabilities_as_they_are() -> None:
    chances = np.array([0.25, 0.75])

    assert probabilities(chances, "probabilities", 2.0).tolist() == [0.25, 0.75]
