"""Numbers out of results: medians over seeds, and what they say about each claim."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from training.models.config import Placement
from training.study.bench import Outcome
from training.study.results import Result, Results
from training.study.trials import PLACES

Quantity = Callable[[Outcome], float]


@dataclass(frozen=True)
class Band:
    """A quantity over the seeds."""

    middle: float
    least: float
    most: float


def final(outcome: Outcome) -> float:
    """Validation accuracy at the end; 0 for a training that diverged."""
    return 0.0 if outcome.diverged or not outcome.validation else outcome.validation[-1][1]


def tested(outcome: Outcome) -> float:
    """Held-out accuracy at the end; 0 for a training that diverged."""
    return 0.0 if outcome.diverged else outcome.test_accuracy


def gap(outcome: Outcome) -> float:
    """Training accuracy less held-out accuracy, at the end."""
    return outcome.train_accuracy - outcome.test_accuracy


def steps_to(outcome: Outcome, target: float) -> int | None:
    """Step of the first look that saw this validation accuracy; None if none did."""
    return next((step for step, accuracy in outcome.validation if accuracy >= target), None)


def band(results: Sequence[Result], quantity: Quantity) -> Band:
    """Median, least and most of a quantity over results that differ in their seeds."""
    values = [quantity(result.outcome) for result in results]
    return Band(median(values), min(values), max(values))


def by(name: str, results: Sequence[Result], quantity: Quantity) -> dict[Any, Band]:
    """Bands by one of the trials' attributes, in its order."""
    values = sorted({getattr(result.trial, name) for result in results})
    return {
        value: band([each for each in results if getattr(each.trial, name) == value], quantity)
        for value in values
    }


def best_rate(results: Sequence[Result]) -> float:
    """Learning rate with the highest median validation accuracy; of equals the smallest."""
    found: dict[float, Band] = by("learning_rate", results, final)
    return max(found, key=lambda rate: (found[rate].middle, -rate))


def at_best_rate(results: Sequence[Result]) -> list[Result]:
    """Results with that learning rate."""
    rate = best_rate(results)
    return [result for result in results if result.trial.learning_rate == rate]


def largest_rate(results: Sequence[Result], accuracy: float) -> float | None:
    """Largest learning rate with which every seed reaches an accuracy; None if there is none."""
    found = by("learning_rate", results, final)
    return max((rate for rate, seen in found.items() if seen.least >= accuracy), default=None)


def best_rates(results: Results) -> dict[Placement, float]:
    """Best learning rate of the article's network, by the place of batch norm."""
    return {place: best_rate(results.of(purpose="rates", batch_norm=place)) for place in PLACES}


def median_steps(results: Sequence[Result], target: float) -> float | None:
    """Median of the steps to an accuracy; None if fewer than half of the seeds reach it."""
    found = [steps_to(result.outcome, target) for result in results]
    reached = sorted(float("inf") if step is None else step for step in found)
    middle = median(reached)
    return None if middle == float("inf") else middle
