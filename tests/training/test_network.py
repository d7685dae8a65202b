import tracemalloc

import numpy as np
import pytest

from training.datasets import Samples
from training.network import statistics


def coloured(count: int, side: int = 8) -> Samples:
    inputs = np.random.default_rng(0).integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    inputs[:, 1] //= 4
    return Samples(inputs, np.zeros(count, dtype=np.int64))


def test_the_statistics_are_those_of_each_channel_over_all_samples() -> None:
    samples = coloured(700)  # more than are looked at together, and no multiple of that

    mean, std = statistics(samples)

    by_channel = samples.inputs.transpose(1, 0, 2, 3).reshape(3, -1).astype(np.float64)
    # float64 sums of 44,800 numbers in another order
    assert mean == pytest.approx(by_channel.mean(axis=1), rel=1e-12)
    assert std == pytest.approx(by_channel.std(axis=1), rel=1e-12)
    assert std != pytest.approx(by_channel[:, :-64].std(axis=1), rel=1e-12)  # an image less


def test_a_constant_channel_is_divided_by_one() -> None:
    samples = coloured(10)
    samples.inputs[:, 2] = 9

    mean, std = statistics(samples)

    assert (mean[2], std[2]) == (9, 1)


def test_the_statistics_of_many_images_need_no_copy_of_them_all() -> None:
    samples = coloured(20_000, side=16)
    tracemalloc.start()
    try:
        statistics(samples)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < samples.inputs.nbytes  # in float64 they would be eight times that
