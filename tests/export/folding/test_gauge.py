"""How a tensor is stored, in one direction or in both."""

import numpy as np
import pytest

from export.folding.affine import Affine
from export.folding.constants import RefusalError
from export.folding.gauge import Gauge, along_axis, decoding, encoding, narrowed, per_channel

EXACT = 1e-12
SHAPE = (1, 3, 1, 1)


def some(*scales: float) -> Affine:
    return Affine(np.array(scales).reshape(SHAPE), np.array([1.0, 2.0, 3.0]).reshape(SHAPE))


def test_what_is_encoded_is_decoded() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    for gauge in (encoding(some(2, -3, 0.5)), decoding(some(2, -3, 0.5))):
        assert np.abs(gauge.decode(gauge.encode(x)) - x).max() <= EXACT


def test_a_scale_of_zero_can_be_written_and_not_read_back() -> None:
    gauge = encoding(some(2, 0, 1))

    assert gauge.encode.scale.ravel().tolist() == [2, 0, 1]
    with pytest.raises(RefusalError, match="too close to zero"):
        gauge.decode  # noqa: B018 - refuses


def test_or_read_and_not_written() -> None:
    gauge = decoding(some(2, 0, 1))

    assert gauge.primary is gauge.decode
    with pytest.raises(RefusalError, match="would have to be divided by"):
        gauge.encode  # noqa: B018 - refuses


def test_what_has_lost_its_digits_cannot_be_read_back() -> None:
    assert encoding(some(2, 3, 4), recoverable=False).decoding is None


def test_gauges_are_the_same_up_to_rounding() -> None:
    gauge = encoding(some(2, 3, 4))

    assert gauge.is_same_as(gauge)
    assert gauge.is_same_as(encoding(some(2, 3, 4 * (1 + 1e-15))))
    assert not gauge.is_same_as(encoding(some(2, 3, 4 * (1 + 1e-9))))
    assert not gauge.is_same_as(encoding(Affine(some(2, 3, 4).scale, np.zeros(SHAPE))))
    assert decoding(some(0, 1, 2)).is_same_as(decoding(some(0, 1, 2)))
    assert not decoding(some(0, 1, 2)).is_same_as(encoding(some(0, 1, 2)))
    shared = some(0, 1, 2)
    assert Gauge(shared, None).is_same_as(Gauge(shared, None))


def test_what_a_gauge_does_to_order_and_to_zero() -> None:
    assert encoding(some(1, 2, 3)).keeps_order
    assert not encoding(some(1, -2, 3)).keeps_order
    assert not encoding(some(1, 0, 3)).keeps_order
    assert not encoding(some(1, 2, 3)).only_scales
    assert encoding(Affine(some(1, 2, 3).scale, np.zeros(SHAPE))).only_scales
    assert encoding(Affine.identity(4)).is_identity


def test_a_gauge_moves_as_its_tensor_does() -> None:
    moved = encoding(some(2, 0, 4)).map(lambda array: array.transpose(0, 2, 3, 1))

    assert moved.encode.scale.shape == (1, 1, 1, 3)
    assert moved.decoding is None


@pytest.mark.parametrize("axis", [1, -3])
def test_what_varies_along_one_axis_is_a_vector(axis: int) -> None:
    affine = per_channel(some(1, 2, 3), axis, 3, "Conv 'c'")

    assert affine.scale.tolist() == [1, 2, 3]
    assert affine.shift.tolist() == [1, 2, 3]


def test_what_is_everywhere_the_same_is_one_too() -> None:
    assert along_axis(np.full((1, 1), 2.0), 1, 3, "").tolist() == [2, 2, 2]


def test_what_varies_along_another_is_refused() -> None:
    with pytest.raises(RefusalError, match=r"Conv 'c' works along axis 1.* varies along 3"):
        along_axis(np.ones((1, 1, 1, 5)), 1, 5, "Conv 'c'")


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(RefusalError, match="Conv 'c' has 4 channels, not 3"):
        along_axis(np.ones(SHAPE), 1, 4, "Conv 'c'")


def test_axes_along_which_nothing_varies_are_narrowed() -> None:
    array = np.broadcast_to(np.array([1.0, 2.0])[:, None], (2, 5))

    assert narrowed(array).shape == (2, 1)
    assert narrowed(np.ones((2, 5))).shape == (1, 1)
