from pathlib import Path

import pytest

from tests.training.study.configs import a_trial, tiny
from training.study.bench import Outcome
from training.study.claims import claims
from training.study.findings import (
    best_rate,
    by,
    final,
    gap,
    largest_rate,
    median_steps,
    steps_to,
)
from training.study.findings import tested as held_out
from training.study.results import Result, Results


def ended(accuracy: float, *, looks: tuple[float, ...] = (), diverged: bool = False) -> Outcome:
    validation = [(10 * i, each) for i, each in enumerate((*looks, accuracy), start=1)]
    return Outcome(validation, diverged=diverged, train_accuracy=0.9, test_accuracy=accuracy)


def result(rate: float, seed: int, accuracy: float) -> Result:
    return Result(a_trial(learning_rate=rate, seed=seed), ended(accuracy))


SWEEP = [
    *(result(0.1, seed, accuracy) for seed, accuracy in enumerate((0.6, 0.7, 0.8))),
    *(result(1.0, seed, accuracy) for seed, accuracy in enumerate((0.9, 0.9, 0.1))),
]


def test_a_training_that_diverged_has_reached_nothing() -> None:
    assert final(ended(0.9, diverged=True)) == 0
    assert held_out(ended(0.9, diverged=True)) == 0
    assert final(Outcome()) == 0


def test_the_gap_is_of_the_end() -> None:
    assert gap(ended(0.75)) == pytest.approx(0.15)


def test_the_first_look_that_saw_an_accuracy_counts() -> None:
    assert steps_to(ended(0.5, looks=(0.1, 0.8)), 0.5) == 20
    assert steps_to(ended(0.5), 0.6) is None


def test_a_band_is_the_median_and_the_range_of_the_seeds() -> None:
    found = by("learning_rate", SWEEP, final)

    assert list(found) == [0.1, 1.0]
    assert (found[0.1].middle, found[0.1].least, found[0.1].most) == (0.7, 0.6, 0.8)


def test_the_best_rate_has_the_best_median_and_the_largest_that_trains_has_no_bad_seed() -> None:
    assert best_rate(SWEEP) == 1.0
    assert largest_rate(SWEEP, 0.5) == 0.1
    assert largest_rate(SWEEP, 0.65) is None


def test_of_equal_rates_the_smallest_is_the_best() -> None:
    assert best_rate([result(1.0, 0, 0.5), result(0.1, 0, 0.5)]) == 0.1


def test_steps_are_the_median_of_the_seeds_and_never_if_half_of_them_never_arrive() -> None:
    looks = [(0.9,), (0.1, 0.9), (0.1, 0.1)]
    found = [Result(a_trial(seed=seed), ended(0.2, looks=each)) for seed, each in enumerate(looks)]

    assert median_steps(found, 0.8) == 20
    assert median_steps(found[1:], 0.8) is None


def test_the_table_has_the_numbers_of_the_results(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    config = tiny()
    for place, accuracy in (("none", 0.5), ("before", 0.875), ("after", 0.75)):
        results.add(a_trial(batch_norm=place), ended(accuracy))
    for place in ("none", "before"):
        for depth in config.deep.depths:
            trial = a_trial(part="deep", purpose="depths", depth=depth, batch_norm=place)
            results.add(trial, ended(0.1 * depth))
        results.add(a_trial(part="deep", purpose="scales", batch_norm=place), ended(0.3))
        outcome = ended(0.4)
        outcome.inference = {"running": 0.4, "population": 0.45, "batch 1": 0.2}
        results.add(a_trial(purpose="batches", batch_norm=place), outcome)
    found = {row.what: (row.without, row.before, row.after) for row in claims(config, results)}

    assert found["held-out accuracy"] == ("50.0 %", "87.5 %", "75.0 %")
    assert found["steps to 20% at that rate"] == ("10", "10", "10")
    assert found["largest learning rate that trains"] == ("0.1", "0.1", "0.1")
    assert found["train accuracy less held-out accuracy, points"] == ("40.0", "2.5", "15.0")
    assert found["2 convolutions: held-out accuracy"] == ("20.0 %", "20.0 %", "")
    normalized = "learned in batches of 32, normalized by the statistics of 1 at inference"
    assert found[normalized] == ("", "20.0 %", "")
