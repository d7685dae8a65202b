"""Parallel branches: the algebra of kernels on one grid, and what is merged and what is not."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from export.folding.constants import RefusalError
from export.folding.merging import Geometry, common, diagonal, embedded
from tests.export.graphs import EXACT, Array, bn, folded, model, norm, normal, op_types
from tests.export.oracle import difference

ONE = (1, 1)


def geometry(
    kernel: tuple[int, ...],
    pads: tuple[int, ...],
    dilations: tuple[int, ...] = ONE,
    strides: tuple[int, ...] = ONE,
    groups: int = 1,
) -> Geometry:
    rank = len(kernel)
    return Geometry(kernel, strides, dilations, pads[:rank], pads[rank:], groups)


def conv(x: Array, weight: Array, at: Geometry) -> Array:
    """The definition: pad by hand, then convolve."""
    sides = [n for pair in zip(at.before[::-1], at.after[::-1], strict=True) for n in pair]
    padded = functional.pad(torch.from_numpy(x), sides)
    result = functional.conv2d(
        padded,
        torch.from_numpy(weight),
        stride=at.strides,
        dilation=at.dilations,
        groups=at.groups,
    )
    return np.asarray(result.numpy())


@given(seed=st.integers(0, 2**32 - 1), dilation=st.integers(1, 2), stride=st.integers(1, 2))
def test_kernels_of_several_sizes_add_up_on_their_grid(
    seed: int, dilation: int, stride: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 4, 9, 8))
    steps: dict[str, Any] = {"dilations": (dilation,) * 2, "strides": (stride,) * 2, "groups": 2}
    parts = [
        geometry((3, 3), (dilation,) * 4, **steps),
        geometry((1, 3), (0, dilation, 0, dilation), **steps),
        geometry((1, 1), (0, 0, 0, 0), **steps),
    ]
    weights = [rng.normal(size=(6, 2, *part.kernel)) for part in parts]

    whole = common(parts)
    total = np.sum([embedded(*pair, whole) for pair in zip(weights, parts, strict=True)], axis=0)

    expected = np.sum([conv(x, *pair) for pair in zip(weights, parts, strict=True)], axis=0)
    assert np.abs(expected - conv(x, total, whole)).max() <= EXACT * np.abs(expected).max()


def test_a_kernel_in_the_wrong_place_would_be_noticed() -> None:
    x = normal(1, 1, 6, 6)
    small, whole = geometry(ONE, (0, 0, 0, 0)), geometry((3, 3), (1, 1, 1, 1))
    weight = normal(1, 1, 1, 1)
    wrong = np.roll(embedded(weight, small, whole), 1, axis=3)

    assert np.abs(conv(x, weight, small) - conv(x, wrong, whole)).max() > 1e3 * EXACT


def test_kernels_that_reach_to_different_sides_need_a_larger_one() -> None:
    """Two taps each, one in front of the pixel and one behind it."""
    left, right = geometry((1, 2), (0, 1, 0, 0)), geometry((1, 2), (0, 0, 0, 1))
    x, weights = normal(1, 1, 4, 6), (normal(1, 1, 1, 2), normal(1, 1, 1, 2, seed=1))

    whole = common([left, right])

    assert (whole.kernel, whole.before, whole.after) == ((1, 3), (0, 1), (0, 1))
    total = embedded(weights[0], left, whole) + embedded(weights[1], right, whole)
    expected = conv(x, weights[0], left) + conv(x, weights[1], right)
    assert np.abs(expected - conv(x, total, whole)).max() <= EXACT * np.abs(expected).max()


def test_a_cross_of_two_kernels_is_not_filled_up_to_a_square() -> None:
    with pytest.raises(RefusalError, match="fewer taps"):
        common([geometry((1, 5), (0, 2, 0, 2)), geometry((5, 1), (2, 0, 2, 0))])


@pytest.mark.parametrize(
    "other",
    [
        geometry((3, 3), (0, 0, 0, 0)),
        geometry((3, 3), (1, 1, 1, 1), strides=(2, 2)),
        geometry((3, 3), (1, 1, 1, 1), groups=2),
        geometry((3, 3), (2, 2, 2, 2), dilations=(2, 2)),
    ],
    ids=["size", "strides", "groups", "dilations"],
)
def test_what_stands_on_no_common_grid_is_refused(other: Geometry) -> None:
    with pytest.raises(RefusalError):
        common([geometry((3, 3), (1, 1, 1, 1)), other])


@given(seed=st.integers(0, 2**32 - 1), groups=st.integers(1, 3), per_group=st.integers(1, 3))
def test_a_diagonal_kernel_multiplies_every_channel(seed: int, groups: int, per_group: int) -> None:
    rng = np.random.default_rng(seed)
    channels = groups * per_group
    scale, x = rng.normal(size=channels), rng.normal(size=(2, channels, 3, 3))

    weight = diagonal(scale, per_group, 2)

    actual = conv(x, weight, geometry(ONE, (0, 0, 0, 0), groups=groups))
    assert np.abs(actual - x * scale[:, None, None]).max() <= EXACT * np.abs(actual).max()


SQUARE = {"w": normal(4, 4, 3, 3), "v": normal(4, 4, 1, 1, seed=1), "b": normal(4)}
PADS = "<pads=[1,1,1,1]>"


def merged(body: str, arrays: dict[str, Array], size: str = "4,6,5") -> tuple[list[str], list[str]]:
    """Operators that are left and outcomes; the numbers are checked."""
    proto = model(
        body, {**SQUARE, **arrays}, inputs=f"double[n,{size}] x", outputs="double[n,4,h,k] y"
    )
    after, report = folded(proto, "safe")
    x = normal(2, *map(int, size.split(",")))
    assert difference(proto, after, x) <= EXACT
    return op_types(after), [node.outcome for node in report.nodes]


def test_the_branches_of_repvgg_become_one_convolution() -> None:
    """Batch norms behind both convolutions and one of the input itself, negative gammas too."""
    body = (
        f"c = Conv{PADS}(x, w) {bn('c', 'd')} e = Conv(x, v, b) {bn('e', 'f', prefix='two')} "
        f"{bn('x', 'g', prefix='three')} h = Add(d, f) i = Add(h, g) y = Relu(i)"
    )
    arrays = {**norm(4), **norm(4, seed=2, prefix="two"), **norm(4, seed=3, prefix="three")}

    left, outcomes = merged(body, arrays)

    assert left == ["Conv", "Relu"]
    assert outcomes == ["folded_backward", "folded_backward", "merged"]


def test_an_identity_beside_a_convolution_is_a_branch() -> None:
    assert merged(f"c = Conv{PADS}(x, w) y = Add(c, x)", {})[0] == ["Conv"]


def test_a_difference_of_branches_is_one_convolution_too() -> None:
    assert merged(f"c = Conv{PADS}(x, w) e = Conv(x, v, b) y = Sub(e, c)", {})[0] == ["Conv"]


def test_a_sum_of_many_branches_is_one() -> None:
    body = f"c = Conv{PADS}(x, w) e = Conv(x, v) y = Sum(c, x, e)"
    assert merged(body, {})[0] == ["Conv"]


def test_a_grouped_convolution_takes_the_identity_beside_it() -> None:
    left, _ = merged(
        f"c = Conv<pads=[1,1,1,1],group=2>(x, u) {bn('x', 'd')} y = Add(c, d)",
        {"u": normal(4, 2, 3, 3), **norm(4)},
    )
    assert left == ["Conv"]


def test_one_weight_of_two_branches_is_not_changed_for_both() -> None:
    body = f"c = Conv{PADS}(x, w) a = Add(c, x) e = Conv{PADS}(a, w) s = Sigmoid(e) y = Add(s, a)"
    assert merged(body, {})[0].count("Conv") == 2


@pytest.mark.parametrize(
    "body",
    [
        "c = Conv<pads=[1,1,1,1],strides=[2,2]>(x, w) "
        "p = MaxPool<kernel_shape=[1,1],strides=[2,2]>(x) y = Add(c, p)",
        'c = Conv<auto_pad="SAME_UPPER">(x, w) y = Add(c, x)',
        "c = Conv<pads=[1,1,1,1]>(x, w) s = Sigmoid(x) y = Add(c, s)",
        "c = Conv<pads=[1,1,1,1]>(x, w) r = Relu(c) a = Add(c, x) y = Add(r, a)",
        "s = Sigmoid(x) c = Conv<pads=[1,1,1,1]>(s, w) y = Add(c, x)",
        "u = Abs(w) c = Conv<pads=[1,1,1,1]>(x, u) y = Add(c, x)",
        "c = Conv<pads=[1,1,1,1],group=2>(x, z) e = Conv(x, v) y = Add(c, e)",
    ],
)
def test_what_is_no_branch_stays(body: str) -> None:
    left, _ = merged(body, {"z": normal(4, 2, 3, 3)})

    assert "Add" in left


def test_a_branch_of_another_size_stays() -> None:
    """One number of each channel beside a convolution of the same tensor."""
    left, _ = merged("c = Conv(x, v) e = Conv(x, t) y = Add(c, e)", {"t": normal(1, 4, 1, 1)})

    assert left == ["Conv", "Conv", "Add"]


def test_a_merged_convolution_writes_the_output_of_the_graph() -> None:
    proto = model(
        f"c = Conv{PADS}(x, w) y = Add(c, x) z = Relu(y)",
        SQUARE,
        inputs="double[n,4,6,5] x",
        outputs="double[n,4,6,5] y, double[n,4,6,5] z",
    )

    after, _ = folded(proto, "safe")

    assert op_types(after) == ["Conv", "Relu"]
    assert list(after.graph.output) == list(proto.graph.output)
    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT


def test_a_sum_that_does_not_fit_float16_stays() -> None:
    weight = np.full((4, 4, 1, 1), 6e4, np.float16)
    proto = model(
        "c = Conv(x, w) e = Conv(x, v) y = Add(c, e)",
        {"w": weight, "v": weight},
        inputs="float16[n,4,6,5] x",
        outputs="float16[n,4,6,5] y",
    )

    assert op_types(folded(proto)[0]) == ["Conv", "Conv", "Add"]
