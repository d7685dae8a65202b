import math
from dataclasses import replace

import pytest

from tests.training.study.configs import a_trial, tiny
from training.study.bench import run


def test_a_trial_has_the_same_outcome_twice_and_another_with_another_seed() -> None:
    once, again = run(tiny(), a_trial()), run(tiny(), a_trial())
    other = run(tiny(), a_trial(seed=1))

    assert once == again
    assert once.validation != other.validation


def test_validation_is_looked_at_as_often_as_was_asked_and_at_the_end() -> None:
    outcome = run(tiny(), a_trial(steps=10))

    assert [step for step, _ in outcome.validation] == [3, 6, 10]
    assert len(outcome.loss) == 3


def test_more_looks_than_steps_are_one_a_step() -> None:
    outcome = run(tiny(), a_trial(steps=2))

    assert [step for step, _ in outcome.validation] == [1, 2]


def test_a_network_learns_and_each_of_its_layers_is_seen_before_and_after() -> None:
    trial = a_trial(part="deep", purpose="depths", depth=2, steps=30)
    outcome = run(tiny(), trial)

    assert outcome.test_accuracy > 0.3  # a guess has 0.1
    assert {moment: len(layers) for moment, layers in outcome.layers.items()} == {
        "first": 2,
        "last": 2,
    }


def test_a_training_that_diverges_says_so_and_has_no_accuracy() -> None:
    outcome = run(tiny(), a_trial(batch_norm="none", scale=1e30))

    assert outcome.diverged
    assert math.isnan(outcome.test_accuracy)


def test_the_scale_of_the_first_kernels_is_what_reaches_the_activation_without_batch_norm() -> None:
    trial = a_trial(part="deep", purpose="scales", depth=1, batch_norm="none", steps=1)
    plain, scaled = (
        run(tiny(), replace(trial, scale=scale)).layers["first"][0] for scale in (1e3, 1e4)
    )

    # The bias is not scaled, and is small beside a thousand times the kernel.
    assert scaled["std"] == pytest.approx(10 * plain["std"], rel=1e-3)


def test_batch_norm_hides_the_scale_of_the_first_kernels() -> None:
    trial = a_trial(part="deep", purpose="scales", depth=1, steps=1)
    plain, scaled = (
        run(tiny(), replace(trial, scale=scale)).layers["first"][0] for scale in (1.0, 1000.0)
    )

    # What is left is eps beside the variance.
    assert scaled["std"] == pytest.approx(plain["std"], rel=1e-3)


def test_only_trials_of_batch_sizes_are_classified_by_other_statistics() -> None:
    batches = run(tiny(), a_trial(purpose="batches"))

    assert batches.inference.keys() == {"running", "population", "batch 1", "batch 4"}
    assert run(tiny(), a_trial()).inference == {}
    assert run(tiny(), a_trial(purpose="batches", batch_norm="none")).inference == {}
