"""MNIST-1D: 5,000 signals of 40 samples, made here by the package of that name."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from training.datasets.options import SplitOptions
from training.datasets.samples import Dataset, DatasetError, Samples
from training.datasets.splits import train_and_validation
from training.inputs import SignalInput


class Mnist1dOptions(SplitOptions):
    """The signals are those of the package's default arguments and seed."""

    name: Literal["mnist1d"] = "mnist1d"


def load(options: Mnist1dOptions) -> Dataset:
    """Generate the signals; the package's own last fifth is the held-out split.

    Source: S. Greydanus, D. Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024.

    Raises:
        DatasetError: If the package is not installed.
    """
    try:
        from mnist1d.data import (  # type: ignore[import-untyped]  # noqa: PLC0415 - optional, and slow to import
            make_dataset,
        )
    except ImportError as error:
        raise DatasetError("MNIST-1D is made by a package: pip install mnist1d") from error
    with _global_generators_kept():
        made = make_dataset()
    train, validation = train_and_validation(_samples(made["x"], made["y"]), options)
    test = _samples(made["x_test"], made["y_test"])
    signals = np.concatenate([made["x"], made["x_test"]])
    return Dataset(
        train=train,
        validation=validation,
        test=test,
        labels=tuple(str(digit) for digit in range(10)),
        input=SignalInput(
            shape=test.inputs.shape[1:],
            value_range=(float(np.floor(signals.min())), float(np.ceil(signals.max()))),
        ),
    )


def _samples(signals: np.ndarray, targets: np.ndarray) -> Samples:
    return Samples(signals[:, np.newaxis].astype(np.float32), targets.astype(np.int64))


@contextmanager
def _global_generators_kept() -> Iterator[None]:
    """The package seeds the process-wide generators; give them back as they were."""
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002 - that one is meant
    try:
        yield
    finally:
        np.random.set_state(of_numpy)  # noqa: NPY002 - that one is meant
        random.setstate(of_python)
