"""Every way to subtract the mean before a first convolution is exact, the border included."""

import numpy as np
import onnx
import pytest

from benchmarks.input_shift import (
    Array,
    Numbers,
    Stem,
    bias_map,
    convolve,
    graphs,
    shifted_bias,
    true_zero,
    with_ones_channel,
)
from tests.export.graphs import EXACT, relative_error, run_float32

FLOAT32 = 1e-5  # sums of some ten products of numbers up to 300

STEMS = [
    Stem(3, 9, 4, kernel=3, stride=1, padding=1),
    Stem(1, 8, 5, kernel=5, stride=2, padding=2),
    Stem(3, 10, 2, kernel=3, stride=2, padding=0, pool=True),
]
PADDED = STEMS[0]


def numbers(stem: Stem, mean: Array | None = None) -> Numbers:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((stem.filters, stem.channels, stem.kernel, stem.kernel))
    means = rng.uniform(50, 200, stem.channels) if mean is None else mean
    return Numbers(weight, rng.standard_normal(stem.filters), means)


def image(stem: Stem) -> Array:
    shape = (stem.channels, stem.size, stem.size)
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.float64)


def wanted(stem: Stem, given: Numbers) -> Array:
    centred = image(stem) - given.mean[:, None, None]
    return convolve(centred, given.weight, stem.stride, stem.padding) + given.bias[:, None, None]


def test_a_convolution_is_the_sum_of_its_taps() -> None:
    stem, given = PADDED, numbers(PADDED)
    padded = np.pad(image(stem), ((0, 0), (1, 1), (1, 1)))
    tap = (given.weight[2] * padded[:, 4:7, 1:4]).sum()
    assert convolve(image(stem), given.weight, 1, 1)[2, 4, 1] == pytest.approx(tap, rel=EXACT)


@pytest.mark.parametrize("stem", STEMS)
def test_a_channel_of_ones_carries_the_mean(stem: Stem) -> None:
    given = numbers(stem)
    ones = np.ones((1, stem.size, stem.size))
    more = np.concatenate([image(stem), ones])
    found = convolve(more, with_ones_channel(given), stem.stride, stem.padding)
    assert relative_error(wanted(stem, given), found + given.bias[:, None, None]) <= EXACT


@pytest.mark.parametrize("stem", STEMS)
def test_a_bias_map_carries_the_mean(stem: Stem) -> None:
    given = numbers(stem)
    found = convolve(image(stem), given.weight, stem.stride, stem.padding) + bias_map(given, stem)
    assert relative_error(wanted(stem, given), found) <= EXACT


@pytest.mark.parametrize("stem", STEMS)
def test_pixels_of_the_mean_around_the_image_are_the_true_zeros(stem: Stem) -> None:
    given = numbers(stem, np.full(stem.channels, 117.3))
    rim = (stem.padding, stem.padding)
    around = np.pad(image(stem), ((0, 0), rim, rim), constant_values=true_zero(given))
    found = convolve(around, given.weight, stem.stride, 0) + shifted_bias(given)[:, None, None]
    assert relative_error(wanted(stem, given), found) <= EXACT


def test_channels_of_different_means_have_no_common_zero() -> None:
    with pytest.raises(ValueError, match="different means"):
        true_zero(numbers(PADDED))


@pytest.mark.parametrize(("stem", "exact"), [(STEMS[2], True), (PADDED, False)])
def test_a_bias_carries_the_mean_only_without_padding(stem: Stem, exact: bool) -> None:
    given = numbers(stem)
    plain = convolve(image(stem), given.weight, stem.stride, stem.padding)
    found = plain + shifted_bias(given)[:, None, None]
    assert (relative_error(wanted(stem, given), found) <= EXACT) is exact


@pytest.mark.parametrize("stem", STEMS)
def test_every_graph_computes_the_stem(stem: Stem) -> None:
    given = numbers(stem, np.full(stem.channels, 117.3))
    expected = np.maximum(wanted(stem, given), 0)[np.newaxis]
    pixels = np.moveaxis(image(stem), 0, 2)[np.newaxis].astype(np.uint8)
    protos = graphs(stem, given)
    assert ("into the bias" in protos) is (stem.padding == 0)
    for proto in protos.values():
        onnx.checker.check_model(proto, full_check=True)
        found = run_float32(proto, {"pixels": pixels})[0]
        if stem.pool:
            assert found.max() == pytest.approx(expected.max(), rel=FLOAT32)
        else:
            assert relative_error(expected, found) <= FLOAT32
