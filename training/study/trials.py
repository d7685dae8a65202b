"""What is trained: one trial for each network, learning rate, depth, scale, batch size and seed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from training.models.config import Placement
from training.study.config import StudyConfig

PartName = Literal["article", "deep"]
Purpose = Literal["rates", "depths", "scales", "batches"]

PLACES: tuple[Placement, ...] = ("before", "after", "none")
BOTH: tuple[Placement, ...] = ("before", "none")


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        part: Which network on which data.
        purpose: What it is a point of.
        batch_norm: Before the activation, after it, or none.
        learning_rate: Of every step.
        batch_size: Samples of a step.
        steps: How many.
        seed: Of weights and order.
        depth: Convolutions in a row; 0 for the article's network, which has its own.
        scale: Factor of the first kernels of the convolutions.
    """

    part: PartName
    purpose: Purpose
    batch_norm: Placement
    learning_rate: float
    batch_size: int
    steps: int
    seed: int
    depth: int = 0
    scale: float = 1.0


def sweeps(config: StudyConfig) -> Iterator[Trial]:
    """Every trial that does not depend on what another one found."""
    article, deep = config.article, config.deep
    for placement, rate, seed in product(PLACES, article.learning_rates, config.seeds):
        yield Trial("article", "rates", placement, rate, article.batch_size, article.steps, seed)
    first = Trial("deep", "depths", "before", 0.0, deep.batch_size, deep.steps, 0)
    for placement, depth, rate, seed in product(
        BOTH, deep.depths, deep.learning_rates, config.seeds
    ):
        yield replace(first, batch_norm=placement, depth=depth, learning_rate=rate, seed=seed)
    first = replace(first, purpose="scales", depth=deep.scaled_depth)
    for placement, scale, rate, seed in product(
        BOTH, deep.scales, deep.scaled_learning_rates, config.seeds
    ):
        yield replace(first, batch_norm=placement, scale=scale, learning_rate=rate, seed=seed)


def by_batch_size(config: StudyConfig, best: dict[Placement, float]) -> Iterator[Trial]:
    """Trials with other batch sizes, each of as many samples.

    Args:
        config: The study.
        best: The learning rate that was the best with the study's own batch size. Another size
            has it in proportion (Goyal et al., "Accurate, Large Minibatch SGD", 2017).
    """
    article = config.article
    samples = article.steps * article.batch_size
    for placement, size, seed in product(BOTH, article.batch_sizes, config.seeds):
        rate = best[placement] * size / article.batch_size
        yield Trial("article", "batches", placement, rate, size, samples // size, seed)
