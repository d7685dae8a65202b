"""The algebra, in float64 and against its definition spelt out in loops or by PyTorch."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from export.folding import affine
from export.folding.affine import ChannelAffine, InexactError

Array = NDArray[np.float64]

# Float64 rounds at 1.1e-16; a few hundred products and sums of numbers near 1 stay below this.
EXACT = 1e-12

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 4)


def random_affine(rng: np.random.Generator, channels: int) -> ChannelAffine:
    return ChannelAffine(rng.uniform(-2, 2, channels), rng.uniform(-2, 2, channels))


def applied(moved: ChannelAffine, y: Array) -> Array:
    """The definition: channel by channel."""
    return np.stack(
        [moved.scale[c] * y[:, c] + moved.shift[c] for c in range(moved.channels)], axis=1
    )


def difference(expected: Array, actual: Array) -> float:
    return float(np.abs(expected - actual).max() / max(1.0, np.abs(expected).max()))


@given(seeds, sizes)
def test_a_batch_norm_is_the_affine_that_its_definition_says(seed: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    gamma, beta, mean = rng.normal(size=(3, channels))
    var = rng.uniform(0.01, 3, channels)
    x = rng.normal(size=(5, channels))

    moved = affine.batch_norm(gamma, beta, mean, var, 1e-3)

    expected = (x - mean) / np.sqrt(var + 1e-3) * gamma + beta
    assert difference(expected, applied(moved, x)) <= EXACT


def test_a_wrong_eps_is_further_off_than_the_tolerance() -> None:
    rng = np.random.default_rng(0)
    gamma, beta, mean = rng.normal(size=(3, 4))
    var, x = rng.uniform(0.01, 3, 4), rng.normal(size=(5, 4))

    moved = affine.batch_norm(gamma, beta, mean, var, 1.01e-3)

    expected = (x - mean) / np.sqrt(var + 1e-3) * gamma + beta
    assert difference(expected, applied(moved, x)) > 1e3 * EXACT


@pytest.mark.parametrize("variance", [-1.0, -1e-3, np.nan])
def test_a_variance_that_has_no_root_is_refused_and_its_channel_named(variance: float) -> None:
    with pytest.raises(ValueError, match="in channel 1"):
        affine.batch_norm(np.ones(2), np.ones(2), np.ones(2), np.array([1.0, variance]), 1e-3)


def test_a_parameter_that_is_not_finite_is_refused_and_its_channel_named() -> None:
    with pytest.raises(ValueError, match="not finite in channel 2"):
        affine.batch_norm(np.array([1.0, 1, np.inf]), np.ones(3), np.ones(3), np.ones(3), 1e-3)


@given(seeds, sizes)
def test_one_affine_after_another_is_one_affine(seed: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = random_affine(rng, channels), random_affine(rng, channels)
    x = rng.normal(size=(3, channels, 2))

    both = second.after(first)

    assert difference(applied(second, applied(first, x)), applied(both, x)) <= EXACT


@given(
    seed=seeds,
    rank=st.integers(1, 3),
    groups=st.integers(1, 3),
    per_group=sizes,
    stride=st.integers(1, 2),
)
def test_a_convolution_takes_an_affine_of_its_output(
    seed: int, rank: int, groups: int, per_group: int, stride: int
) -> None:
    rng = np.random.default_rng(seed)
    outputs = groups * per_group
    weight = rng.normal(size=(outputs, 2, *(2,) * rank))
    bias, x = rng.normal(size=outputs), rng.normal(size=(2, 2 * groups, *(5,) * rank))
    moved = random_affine(rng, outputs)
    conv: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]

    def run(w: Array, b: Array) -> Array:
        tensors = (torch.from_numpy(array) for array in (x, w, b))
        result: Array = conv(*tensors, stride=stride, padding=1, groups=groups).numpy()
        return result

    expected = applied(moved, run(weight, bias))
    assert difference(expected, run(*affine.into_conv(weight, bias, moved))) <= EXACT


@given(
    seed=seeds,
    rank=st.integers(1, 3),
    groups=st.integers(1, 3),
    per_group=sizes,
    stride=st.integers(1, 2),
)
def test_a_transposed_convolution_takes_an_affine_of_its_output(
    seed: int, rank: int, groups: int, per_group: int, stride: int
) -> None:
    rng = np.random.default_rng(seed)
    outputs = groups * per_group
    weight = rng.normal(size=(2 * groups, per_group, *(2,) * rank))
    bias, x = rng.normal(size=outputs), rng.normal(size=(2, 2 * groups, *(4,) * rank))
    moved = random_affine(rng, outputs)
    conv: Any = (
        functional.conv_transpose1d,
        functional.conv_transpose2d,
        functional.conv_transpose3d,
    )[rank - 1]

    def run(w: Array, b: Array) -> Array:
        tensors = (torch.from_numpy(array) for array in (x, w, b))
        result: Array = conv(*tensors, stride=stride, groups=groups).numpy()
        return result

    expected = applied(moved, run(weight, bias))
    actual = run(*affine.into_conv_transpose(weight, bias, moved, groups))
    assert difference(expected, actual) <= EXACT


def test_a_transposed_convolution_folded_without_its_groups_is_off() -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 2, 3)), np.zeros(4)
    moved = random_affine(rng, 4)

    right, _ = affine.into_conv_transpose(weight, bias, moved, 2)
    wrong = weight * moved.scale[:, None, None]

    assert difference(right, wrong) > 1e3 * EXACT


@pytest.mark.parametrize("output_axis", [0, 1])
@given(seed=seeds, inputs=sizes, outputs=sizes)
def test_a_matrix_takes_an_affine_of_its_output(
    output_axis: int, seed: int, inputs: int, outputs: int
) -> None:
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(inputs, outputs)), rng.normal(size=outputs)
    moved, x = random_affine(rng, outputs), rng.normal(size=(3, inputs))
    stored = weight if output_axis == 1 else weight.T

    new_weight, new_bias = affine.into_matrix(stored, bias, moved, output_axis)

    new = new_weight if output_axis == 1 else new_weight.T
    assert difference(applied(moved, x @ weight + bias), x @ new + new_bias) <= EXACT


def test_a_zero_scale_leaves_the_shift_alone() -> None:
    moved = ChannelAffine(np.zeros(2), np.array([3.0, 4.0]))

    weight, bias = affine.into_conv(np.ones((2, 1, 3)), np.ones(2), moved)

    assert not weight.any()
    assert bias.tolist() == [3.0, 4.0]


def test_a_cast_rounds_once() -> None:
    third = np.array([1 / 3])

    assert affine.cast(third, np.float32)[0] == np.float32(1 / 3)
    assert affine.cast(third, np.float16).dtype == np.float16


def test_a_cast_that_overflows_is_refused() -> None:
    largest = float(np.finfo(np.float16).max)

    assert affine.cast(np.array([largest]), np.float16)[0] == largest
    with pytest.raises(InexactError, match="overflow float16"):
        affine.cast(np.array([largest * 1.01]), np.float16)


def test_float16_weights_whose_channel_would_be_subnormal_are_refused() -> None:
    weight = np.array([[1.0, 1e-6], [0.0, 0.0]])

    assert affine.cast(weight, np.float16, channel_axis=0).shape == (2, 2)
    with pytest.raises(InexactError, match="underflow float16"):
        affine.cast(weight, np.float16, channel_axis=1)
    assert affine.cast(weight * 1e-30, np.float32, channel_axis=1).dtype == np.float32
