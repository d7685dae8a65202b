import numpy as np
import pytest

from export.reliability.calibration import (
    HIGHEST,
    LOWEST,
    Array,
    best_temperature,
    bins,
    expected_error,
    softmax,
)


def of_two(confidences: list[float]) -> Array:
    """Probabilities of two classes, the first of which is ranked first."""
    return np.array([[confidence, 1 - confidence] for confidence in confidences])


def drawn(
    count: int, temperature: float
) -> tuple[Array, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Logits and classes drawn from their own softmax at a temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=3.0, size=(count, 5))
    chances = softmax(logits, temperature).cumsum(axis=1)
    targets = (rng.random((count, 1)) > chances).sum(axis=1)
    return logits, targets.astype(np.int64)


def test_the_softmax_is_the_textbooks() -> None:
    assert softmax(np.log(np.array([[1.0, 3.0]]))) == pytest.approx(np.array([[0.25, 0.75]]))
    assert softmax(np.array([[2000.0, 0.0]]), 1000.0)[0, 0] == pytest.approx(1 / (1 + np.exp(-2)))


def test_samples_are_sorted_into_bins_by_the_probability_of_their_first_class() -> None:
    found = bins(of_two([0.61, 0.65, 0.99, 1.0]), np.array([0, 1, 0, 0]))

    assert [(each.samples, each.accuracy) for each in found] == [(2, 0.5), (2, 1.0)]
    assert [each.confidence for each in found] == pytest.approx([0.63, 0.995])


def test_the_expected_error_weighs_bins_by_their_samples() -> None:
    found = bins(of_two([0.61, 0.65, 0.99, 1.0]), np.array([0, 1, 0, 0]))

    assert expected_error(found) == pytest.approx((2 * 0.13 + 2 * 0.005) / 4)


def test_a_model_that_says_what_is_so_has_no_error_but_chance() -> None:
    logits, targets = drawn(20_000, temperature=1.0)

    # A bin of a thousand samples is off by 1.5 points in one standard deviation.
    assert expected_error(bins(softmax(logits), targets)) < 0.015
    assert expected_error(bins(softmax(logits, 0.4), targets)) > 0.1  # and one too sure of itself


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_the_classes_were_drawn_with_is_found(temperature: float) -> None:
    logits, targets = drawn(20_000, temperature)

    # The likelihood of so many samples tells temperatures apart to about two in a hundred.
    assert best_temperature(logits, targets) == pytest.approx(temperature, rel=0.05)


def test_what_has_no_best_temperature_ends_at_a_bound() -> None:
    always = np.array([[0.5, 0.0]] * 4)

    assert best_temperature(always, np.array([0, 0, 0, 0])) == pytest.approx(LOWEST)
    assert best_temperature(always, np.array([1, 1, 1, 1])) == pytest.approx(HIGHEST)
