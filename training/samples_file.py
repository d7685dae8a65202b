"""``samples.npz``: samples of a data set for the stages behind training, which cannot read it.

Three arrays: ``calibration``, inputs of the training split, (N, *shape); ``held_out``, inputs of
the held-out split, (M, *shape); ``targets``, their classes, (M,) int64. Inputs are what the model
takes but for the type: uint8 for images, float32 for signals.
"""

import io
from pathlib import Path

import numpy as np

from training import atomic
from training.datasets import Dataset, Samples
from training.datasets.splits import stratified

CALIBRATION_SAMPLES = 512  # the range of an activation settles with a few hundred
LARGEST = 1 << 26  # bytes of inputs in an array: all of CIFAR-10's held-out split are half of it

_SEED = 0


def write(path: Path, dataset: Dataset) -> None:
    """Write the file atomically; the same data set gives the same bytes.

    Args:
        path: Where to.
        dataset: Of a split that is too large every class is kept in proportion.

    Raises:
        OSError: If the folder cannot be written.
    """
    held_out = _at_most(dataset.test, len(dataset.test))
    content = io.BytesIO()
    np.savez_compressed(
        content,
        calibration=_at_most(dataset.train, CALIBRATION_SAMPLES).inputs,
        held_out=held_out.inputs,
        targets=held_out.targets,
    )
    atomic.write(path, content.getvalue())


def _at_most(samples: Samples, count: int) -> Samples:
    count = min(count, max(1, LARGEST // samples.inputs[0].nbytes))
    if count >= len(samples):
        return samples
    _, drawn = stratified(samples.targets, count, _SEED)
    return samples.take(drawn)
