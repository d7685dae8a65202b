"""Whether two arrays say the same."""

from typing import Any

import numpy as np
import pytest

from service.inference.closeness import is_near

TOLERANCE = 0.01


@pytest.mark.parametrize(
    ("array", "near"),
    [
        pytest.param([1.0, 99.1], True, id="within the tolerance of the largest"),
        pytest.param([2.0, 100.0], True, id="the same for a smaller value"),
        pytest.param([1.0, 98.9], False, id="beyond it"),
        pytest.param([1.0], False, id="another shape"),
        pytest.param([1.0, np.nan], False, id="no number"),
    ],
)
def test_floats_are_held_against_the_largest_value(array: Any, near: bool) -> None:
    assert is_near(np.array(array), np.array([1.0, 100.0]), TOLERANCE) is near


def test_what_is_not_finite_is_near_to_itself() -> None:
    odd = np.array([np.nan, np.inf, 1.0])
    assert is_near(odd, odd.copy(), TOLERANCE)
    assert not is_near(-odd, odd, TOLERANCE)


def test_whole_numbers_are_the_same_or_are_not() -> None:
    assert not is_near(np.array([1000]), np.array([1001]), TOLERANCE)
    assert is_near(np.array([1000]), np.array([1000]), TOLERANCE)


def test_nothing_is_near_to_nothing() -> None:
    assert is_near(np.empty((0, 3)), np.empty((0, 3)), TOLERANCE)
