"""The table of a study: what is claimed of batch norm, and what was measured of it."""

from dataclasses import dataclass

from training.study.config import StudyConfig
from training.study.findings import (
    Quantity,
    at_best_rate,
    band,
    gap,
    largest_rate,
    median_steps,
    tested,
)
from training.study.results import Result, Results

NEVER = "never"


@dataclass(frozen=True)
class Claim:
    """One row.

    Attributes:
        what: Was measured.
        without: Without batch norm.
        before: With batch norm before the activation.
        after: With batch norm after it; empty where that was not tried.
    """

    what: str
    without: str
    before: str
    after: str = ""


def claims(config: StudyConfig, results: Results) -> list[Claim]:
    """Return every row, in the order of the pictures."""
    article = {
        placement: results.of(purpose="rates", batch_norm=placement)
        for placement in ("none", "before", "after")
    }
    best = [at_best_rate(each) for each in article.values()]
    target = config.article.target
    return [
        Claim("best learning rate", *(f"{each[0].trial.learning_rate:g}" for each in best)),
        Claim(f"steps to {target:.0%} at that rate", *(_steps(each, target) for each in best)),
        Claim(
            "steps to it at the rate that is best without",
            *(
                _steps(_at(each, best[0][0].trial.learning_rate), target)
                for each in article.values()
            ),
        ),
        Claim(
            "largest learning rate that trains",
            *(_rate(largest_rate(each, config.trains_at)) for each in article.values()),
        ),
        Claim("held-out accuracy", *(_percent(each, tested) for each in best)),
        Claim("train accuracy less held-out accuracy, points", *(_points(each) for each in best)),
        *_by_depth(config, results),
        *_by_scale(results),
        *_by_batch(results),
        *_at_inference(results),
    ]


def _at(results: list[Result], rate: float) -> list[Result]:
    return [result for result in results if result.trial.learning_rate == rate]


def _steps(results: list[Result], target: float) -> str:
    found = median_steps(results, target)
    return NEVER if found is None else f"{found:.0f}"


def _rate(rate: float | None) -> str:
    return "none" if rate is None else f"{rate:g}"


def _percent(results: list[Result], quantity: Quantity) -> str:
    return f"{band(results, quantity).middle:.1%}".replace("%", " %")


def _points(results: list[Result]) -> str:
    return f"{100 * band(results, gap).middle:.1f}"


def _by_depth(config: StudyConfig, results: Results) -> list[Claim]:
    rows = []
    for depth in config.deep.depths:
        both = [
            results.of(purpose="depths", batch_norm=placement, depth=depth)
            for placement in ("none", "before")
        ]
        rows.append(
            Claim(
                f"{depth} convolutions: held-out accuracy",
                *(_percent(at_best_rate(each), tested) for each in both),
            )
        )
    return rows


def _by_scale(results: Results) -> list[Claim]:
    found = results.of(purpose="scales")
    rows = []
    for scale in sorted({result.trial.scale for result in found}):
        both = [
            [each for each in found if (each.trial.scale, each.trial.batch_norm) == (scale, where)]
            for where in ("none", "before")
        ]
        rows.append(
            Claim(
                f"first kernels times {scale:g}: held-out accuracy",
                *(_percent(at_best_rate(each), tested) for each in both),
            )
        )
    return rows


def _by_batch(results: Results) -> list[Claim]:
    found = results.of(purpose="batches")
    return [
        Claim(
            f"learned in batches of {size}: held-out accuracy",
            *(
                _percent(results.of(purpose="batches", batch_size=size, batch_norm=where), tested)
                for where in ("none", "before")
            ),
        )
        for size in sorted({result.trial.batch_size for result in found})
    ]


def _at_inference(results: Results) -> list[Claim]:
    """Of the largest batches of training, whose running statistics are the best."""
    found = results.of(purpose="batches", batch_norm="before")
    largest = max(result.trial.batch_size for result in found)
    learned = [result for result in found if result.trial.batch_size == largest]
    return [
        Claim(
            f"learned in batches of {largest}, normalized by {_named(name)}",
            "",
            _percent(learned, lambda outcome, name=name: outcome.inference[name]),  # type: ignore[misc]
        )
        for name in learned[0].outcome.inference
    ]


def _named(name: str) -> str:
    if name.startswith("batch "):
        return f"the statistics of {name.removeprefix('batch ')} at inference"
    return {"running": "running statistics", "population": "the population's statistics"}[name]
