"""The 1,797 handwritten digits of 8x8 pixels that ship inside scikit-learn."""

from typing import Literal

import numpy as np
from pydantic import Field
from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # has no annotations

from training.datasets.options import SplitOptions
from training.datasets.samples import Dataset, Samples
from training.datasets.splits import hold_out, train_and_validation
from training.inputs import ImageInput


class DigitsOptions(SplitOptions):
    """A fifth is held out unless said otherwise."""

    name: Literal["digits"] = "digits"
    test_fraction: float = Field(default=0.2, gt=0, lt=1)


def load(options: DigitsOptions) -> Dataset:
    """Split the digits; their 17 grey levels become 0..255.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
    """
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, np.newaxis]
    rest, test = hold_out(
        Samples(images, bunch.target.astype(np.int64)), options.test_fraction, options.split_seed
    )
    train, validation = train_and_validation(rest, options)
    return Dataset(
        train=train,
        validation=validation,
        test=test,
        labels=tuple(str(digit) for digit in range(10)),
        input=ImageInput(color="L", channels=1, height=8, width=8),
    )
