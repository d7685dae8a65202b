"""What counts as an error of outputs, and what shows none."""

import numpy as np
import pytest

from export import deviation
from tests.export.graphs import normal

EXACT = 1e-12  # float64 throughout, a few roundings
SMALLEST = float(np.finfo(np.float32).tiny)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def test_batches_follow_each_other() -> None:
    (joined,) = deviation.joined([[normal(1, 3)], [normal(5, 3)]])

    assert joined.shape == (6, 3)


def test_batches_that_do_not_come_first_become_one_row() -> None:
    (joined,) = deviation.joined([[normal(3, 1)], [normal(3, 5)]])

    assert joined.shape == (18,)


def test_the_worst_output_counts_relative_to_its_own_scale() -> None:
    expected = [np.full((2, 2), 100.0), np.full((2, 2), 1e-3)]
    actual = [expected[0] + 1e-2, expected[1] + 1e-6]

    assert deviation.absolute(expected, actual) == pytest.approx(1e-2, rel=EXACT * 1e4)
    assert deviation.relative(expected, actual) == pytest.approx(1e-3, rel=EXACT * 1e4)


def test_a_saturated_softmax_hides_an_error_that_its_logarithm_shows() -> None:
    logits = 60 * normal(8, 5)
    expected, actual = softmax(logits), softmax(logits * 1.001)

    hidden = deviation.relative([expected], [actual])
    shown = deviation.relative(
        deviation.unsaturated([expected], [SMALLEST]), deviation.unsaturated([actual], [SMALLEST])
    )

    assert hidden < 1e-4
    assert shown > 5e-4


def test_probabilities_too_small_for_their_type_are_all_the_same() -> None:
    (shown,) = deviation.unsaturated([np.array([[1.0, 1e-300, 0.0]])], [SMALLEST])

    assert shown[0, 1] == shown[0, 2] == np.log(SMALLEST) - 1
    assert shown[0, 0] == -1


def test_other_outputs_are_compared_as_they_are() -> None:
    given = normal(2, 3)

    (shown,) = deviation.unsaturated([given], [None])

    assert shown is given


@pytest.mark.parametrize("shape", [(4, 3), (4,), (0, 3)])
def test_outputs_that_do_not_differ_between_samples_are_constant(shape: tuple[int, ...]) -> None:
    assert deviation.is_constant([np.full(shape, 7.0)], 0.0)


def test_outputs_of_which_one_differs_are_not() -> None:
    same, other = np.ones((4, 3)), np.ones((4, 3))
    other[3, 2] += 1e-3

    assert not deviation.is_constant([same, other], 1e-4)
    assert deviation.is_constant([same, other], 1e-2)
