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
from export.folding.affine import Affine, InexactError

Array = NDArray[np.float64]

# Float64 rounds at 1.1e-16; a few hundred products and sums of numbers near 1 stay below this.
EXACT = 1e-12

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 4)


def random_affine(rng: np.random.Generator, channels: int) -> Affine:
    return Affine(rng.uniform(-2, 2, channels), rng.uniform(-2, 2, channels))


def applied(moved: Affine, y: Array) -> Array:
    """The definition: channel by channel."""
    return np.stack(
        [moved.scale[c] * y[:, c] + moved.shift[c] for c in range(len(moved.scale))], axis=1
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
    moved = Affine(np.zeros(2), np.array([3.0, 4.0]))

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


def test_an_affine_undone_is_the_identity() -> None:
    rng = np.random.default_rng(0)
    moved, x = random_affine(rng, 4), rng.normal(size=(3, 4))

    assert difference(x, moved.inverse()(moved(x))) <= EXACT
    assert Affine.identity(4).is_identity
    assert moved.inverse().after(moved).scale == pytest.approx(1, rel=EXACT)


@pytest.mark.parametrize("scale", [0.0, 1e-310])
def test_a_scale_that_cannot_be_divided_by_has_no_inverse(scale: float) -> None:
    with pytest.raises(ZeroDivisionError):
        Affine(np.array([1.0, scale]), np.ones(2)).inverse()


def test_what_an_affine_is_made_of() -> None:
    ones, zeros, other = np.ones(2), np.zeros(2), np.array([1.0, 2.0])

    assert Affine(other, zeros).only_scales
    assert not Affine(other, zeros).only_shifts
    assert Affine(ones, other).only_shifts
    assert not Affine(ones, other).only_scales
    assert Affine(ones, zeros).is_identity


def test_no_bound_stays_none_behind_a_scale_of_zero() -> None:
    """Zero times infinity, which would not be a number."""
    moved = Affine(np.array([0.0, 2.0]), np.array([3.0, 1.0]))

    assert moved(np.array([np.inf, np.inf])).tolist() == [3.0, np.inf]


@given(
    seed=seeds,
    rank=st.integers(1, 3),
    groups=st.integers(1, 3),
    per_group=sizes,
    dilation=st.integers(1, 2),
)
def test_an_unpadded_convolution_takes_an_affine_of_its_input(
    seed: int, rank: int, groups: int, per_group: int, dilation: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(2 * groups, per_group, *(2,) * rank))
    bias, x = rng.normal(size=2 * groups), rng.normal(size=(2, per_group * groups, *(5,) * rank))
    moved = random_affine(rng, per_group * groups)
    conv: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]

    def run(data: Array, w: Array, b: Array) -> Array:
        tensors = (torch.from_numpy(array) for array in (data, w, b))
        result: Array = conv(*tensors, dilation=dilation, groups=groups).numpy()
        return result

    expected = run(applied(moved, x), weight, bias)
    assert difference(expected, run(x, *affine.before_conv(weight, bias, moved, groups))) <= EXACT


def test_a_shift_in_front_of_zeros_is_another_number_at_the_border() -> None:
    rng = np.random.default_rng(0)
    weight, bias, x = rng.normal(size=(2, 3, 3)), rng.normal(size=2), rng.normal(size=(1, 3, 6))
    moved = random_affine(rng, 3)

    def run(data: Array, w: Array, b: Array) -> Array:
        tensors = [torch.from_numpy(array) for array in (data, w, b)]
        result: Array = functional.conv1d(tensors[0], tensors[1], tensors[2], padding=1).numpy()
        return result

    expected = run(applied(moved, x), weight, bias)
    actual = run(x, *affine.before_conv(weight, bias, moved))
    assert difference(expected[..., 1:-1], actual[..., 1:-1]) <= EXACT
    assert difference(expected, actual) > 1e3 * EXACT


@given(seed=seeds, groups=st.integers(1, 3), per_group=sizes)
def test_a_transposed_convolution_takes_a_scale_of_its_input(
    seed: int, groups: int, per_group: int
) -> None:
    rng = np.random.default_rng(seed)
    inputs = 2 * groups
    weight, x = rng.normal(size=(inputs, per_group, 3)), rng.normal(size=(2, inputs, 5))
    scale = rng.uniform(-2, 2, inputs)

    def run(data: Array, w: Array) -> Array:
        data_w = torch.from_numpy(data), torch.from_numpy(w)
        result: Array = functional.conv_transpose1d(*data_w, stride=2, groups=groups).numpy()
        return result

    expected = run(x * scale[:, None], weight)
    actual = run(x, affine.before_conv_transpose(weight, scale))
    assert difference(expected, actual) <= EXACT


@pytest.mark.parametrize("output_axis", [0, 1])
@given(seed=seeds, inputs=sizes, outputs=sizes)
def test_a_matrix_takes_an_affine_of_its_input(
    output_axis: int, seed: int, inputs: int, outputs: int
) -> None:
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(inputs, outputs)), rng.normal(size=outputs)
    moved, x = random_affine(rng, inputs), rng.normal(size=(3, inputs))
    stored = weight if output_axis == 1 else weight.T

    new_weight, new_bias = affine.before_matrix(stored, bias, moved, output_axis)

    new = new_weight if output_axis == 1 else new_weight.T
    assert difference(applied(moved, x) @ weight + bias, x @ new + new_bias) <= EXACT


def test_a_weight_that_is_not_scaled_is_not_copied() -> None:
    weight = np.ones((2, 3, 1))

    scaled, _ = affine.into_conv(weight, np.zeros(2), Affine(np.ones(2), np.ones(2)))

    assert scaled is weight


def test_infinite_bounds_are_cast_as_they_are() -> None:
    bounds = np.array([-np.inf, 1.0])

    assert affine.cast(bounds, np.float16).tolist() == [-np.inf, 1.0]
    affine.fits(bounds, np.float32)
    affine.fits(bounds, np.float16)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_not_a_number_fits_nowhere(dtype: Any) -> None:
    with pytest.raises(InexactError, match="overflow"):
        affine.fits(np.array([np.nan, 1.0]), dtype)


def test_what_is_too_large_does_not_fit() -> None:
    affine.fits(np.array([3e38]), np.float32)
    with pytest.raises(InexactError, match="overflow float32"):
        affine.fits(np.array([4e38]), np.float32)
