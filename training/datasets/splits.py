"""Seeded splits that keep the proportions of the classes."""

import math

import numpy as np
from numpy.typing import NDArray

from training.datasets.options import SplitOptions
from training.datasets.samples import DatasetError, Samples

Indices = NDArray[np.int64]


def stratified(targets: Indices, count: int, seed: int) -> tuple[Indices, Indices]:
    """Draw ``count`` samples, every class in proportion (largest remainders round up).

    Args:
        targets: Class of each sample, (N,).
        count: How many to draw.
        seed: Seed of the draw.

    Returns:
        Positions of the rest and of the drawn samples, both ascending.

    Raises:
        DatasetError: If one of the two would be empty.
    """
    if not 0 < count < len(targets):
        raise DatasetError(f"cannot draw {count} of {len(targets)} samples and leave some")
    generator = np.random.default_rng(seed)
    quotas = _quotas(targets, count)
    drawn = np.concatenate(
        [
            generator.permutation(np.flatnonzero(targets == label))[:quota]
            for label, quota in quotas.items()
        ]
    )
    rest = np.setdiff1d(np.arange(len(targets)), drawn)
    return rest, np.sort(drawn)


def _quotas(targets: Indices, count: int) -> dict[int, int]:
    labels, sizes = np.unique(targets, return_counts=True)
    exact = sizes * (count / len(targets))
    quotas = np.floor(exact).astype(int)
    most_cut = np.argsort(quotas - exact, kind="stable")
    quotas[most_cut[: count - quotas.sum()]] += 1
    return {int(label): int(quota) for label, quota in zip(labels, quotas, strict=True)}


def hold_out(samples: Samples, fraction: float, seed: int) -> tuple[Samples, Samples]:
    """Split off a fraction, rounded up to whole samples: (the rest, held out)."""
    rest, held_out = stratified(samples.targets, math.ceil(len(samples) * fraction), seed)
    return samples.take(rest), samples.take(held_out)


def train_and_validation(samples: Samples, options: SplitOptions) -> tuple[Samples, Samples]:
    """Split off the validation samples, then keep as many training samples as are wanted."""
    # Another stream than the held-out split's, which draws from the same seed.
    seed = options.split_seed + 1
    train, validation = hold_out(samples, options.validation_fraction, seed)
    if options.train_limit is not None and options.train_limit < len(train):
        _, kept = stratified(train.targets, options.train_limit, seed)
        train = train.take(kept)
    return train, validation
