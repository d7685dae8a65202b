"""What every data set hands out: inputs, targets, and three splits of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.inputs import ImageInput, SignalInput


class DatasetError(ValueError):
    """A data set is missing or malformed; the message says what to do."""


@dataclass(frozen=True)
class Samples:
    """Inputs (N, *shape), uint8 for images and float32 for signals, and targets (N,) int64."""

    inputs: NDArray[Any]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, indices: NDArray[np.int64]) -> "Samples":
        """The samples at these positions, in this order."""
        return Samples(self.inputs[indices], self.targets[indices])


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits: learn on train, choose by validation, report on test.

    Attributes:
        train: What the weights are fitted to.
        validation: What chooses the best epoch.
        test: Held out; looked at once, for the figure in the checkpoint.
        labels: Class names, by target.
        input: Shape and meaning of one input.
    """

    train: Samples
    validation: Samples
    test: Samples
    labels: tuple[str, ...]
    input: ImageInput | SignalInput

    def __post_init__(self) -> None:
        """Refuse what would only fail when hours of training are over.

        Raises:
            DatasetError: If a split has too few samples.
        """
        # Batch norm needs two samples: one has no variance.
        for name, split, least in (
            ("training", self.train, 2),
            ("validation", self.validation, 1),
            ("held-out", self.test, 1),
        ):
            if len(split) < least:
                raise DatasetError(f"{len(split)} {name} samples; {least} are the least")
