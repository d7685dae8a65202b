"""Operators that only move numbers: the channels go with them."""

import numpy as np
import pytest

from tests.export.folding.sandwiches import (
    behind,
    in_front,
    outcome,
    parameters,
    with_shape,
)
from tests.export.graphs import bn, folded, model, norm, normal


@pytest.mark.parametrize(
    "operator", ["Identity(a)", "Dropout(a)", "Cast<to=11>(a)", "Cast<to=1>(a) b = Cast<to=11>(d)"]
)
def test_what_changes_no_number_is_passed(operator: str) -> None:
    text = f"d = {operator}" if "d)" in operator else f"b = {operator}"
    if "to=1>" in operator:  # through float32, which PyTorch's float64 does not do
        _, report = folded(behind(text), "safe")
        assert report.nodes[0].outcome == "folded_backward"
        return
    assert outcome(behind(text)).how == "folded_backward"
    assert outcome(in_front(text)).how == "folded_forward"


def test_a_cast_to_integers_is_no_carrier() -> None:
    proto = with_shape(
        model(
            f"{bn('x', 'a')} i = Cast<to=7>(a) y = Cast<to=11>(i)",
            norm(4),
            inputs="double[n,4,6,5] x",
            outputs="double y",
        )
    )

    _, report = folded(proto)

    assert "Cast 'i' makes other numbers than floats" in str(report.nodes[0].reason)


def test_a_dropout_that_puts_out_its_mask_is_left_alone() -> None:
    proto = model(
        f"c = Conv(x, w) p, m = Dropout(c) {bn('p')}",
        {"w": normal(4, 4, 1, 1), **norm(4)},
        inputs="double[n,4,6,5] x",
        outputs="double[n,4,6,5] y, bool[n,4,6,5] m",
    )

    assert "Dropout 'p' puts out more than its data" in str(folded(proto)[1].nodes[0].reason)


@pytest.mark.parametrize(
    ("there", "back"),
    [("[0,1,3,2]", "[0,1,3,2]"), ("[3,1,0,2]", "[2,1,3,0]"), ("[0,2,3,1]", "[0,3,1,2]")],
)
def test_a_transpose_takes_the_channels_along(there: str, back: str) -> None:
    """A sum with a tensor between the two keeps them from cancelling before anything is folded."""
    text = f"d = Transpose<perm={there}>(a) g = Tanh(o) e = Add(d, g) b = Transpose<perm={back}>(e)"
    given, of = {"o": np.zeros(1)}, parameters(scales=False)

    assert outcome(in_front(text, given, of=of)).how == "folded_forward"
    assert outcome(behind(text, given, of=of)).how == "folded_backward"


def test_a_transpose_that_names_no_order_turns_the_axes_around() -> None:
    text = "d = Transpose(a) b = Transpose(d)"
    proto = in_front(text, size=(4,), linear="Gemm<transB=1>(b, w)", weight=(3, 4))

    assert outcome(proto).how == "folded_forward"


@pytest.mark.parametrize(
    ("operator", "constants"),
    [
        ("b = Flatten(a)", {}),
        ("b = Reshape(a, s)", {"s": np.array([0, -1])}),
        ("b = Reshape(a, s)", {"s": np.array([-1, 120])}),
    ],
)
def test_flattened_channels_are_numbers_apart(
    operator: str, constants: dict[str, np.ndarray]
) -> None:
    proto = in_front(operator, constants, linear="Gemm<transB=1>(b, w)", weight=(3, 120))

    assert outcome(proto).how == "folded_forward"


def test_what_is_flattened_cannot_be_told_apart_by_channel_behind() -> None:
    """A batch norm of 120 numbers has no place in a convolution of 4 channels."""
    proto = with_shape(
        model(
            f"c = Conv(x, w) f = Flatten(c) {bn('f')}",
            {"w": normal(4, 4, 1, 1), **norm(120)},
            inputs="double[n,4,6,5] x",
            outputs="double y",
        )
    )

    result = outcome(proto)

    assert result.how == "kept"
    assert "works along axis 1" in result.reason


def test_but_flattened_numbers_that_are_channels_can() -> None:
    proto = with_shape(
        model(
            f"c = Conv(x, w) g = GlobalAveragePool(c) f = Flatten(g) {bn('f')}",
            {"w": normal(4, 4, 1, 1), **norm(4)},
            inputs="double[n,4,6,5] x",
            outputs="double y",
        )
    )

    assert outcome(proto).how == "folded_backward"


def test_a_reshape_of_unknown_size_is_left_alone() -> None:
    proto = model(
        f"{bn('x', 'a')} f = Reshape(a, s) y = Relu(f)",
        {**norm(4), "s": np.array([-1])},
        inputs="double[n,4,h,k] x",
        outputs="double[m] y",
    )

    reason = str(folded(proto)[1].nodes[0].reason)

    assert "Reshape 'f' joins axes whose sizes are not known" in reason


def test_unknown_axes_that_stay_do_not_matter() -> None:
    """Height and width are free: (n, 4, h, w) to (n, 4, h * w)."""
    proto = with_shape(
        model(
            f"{bn('x', 'a')} b = Reshape(a, s) y = Conv(b, w)",
            {**norm(4), "s": np.array([0, 0, -1]), "w": normal(3, 4, 1)},
            inputs="double[n,4,h,k] x",
            outputs="double y",
        )
    )

    assert folded(proto, "safe")[1].nodes[0].outcome == "folded_forward"


def test_groups_of_channels_are_told_apart() -> None:
    """The shuffle of ShuffleNet: (n, 4, h, w) as (n, 2, 2, h, w), turned, and back."""
    shuffle = "d = Reshape(a, s) e = Transpose<perm=[0,2,1,3,4]>(d) b = Reshape(e, t)"
    sizes = {"s": np.array([0, 2, 2, 6, 5]), "t": np.array([0, 4, 6, 5])}

    assert outcome(in_front(shuffle, sizes)).how == "folded_forward"
    assert outcome(behind(shuffle, sizes)).how == "folded_backward"


@pytest.mark.parametrize("opset", [11, 17])
def test_axes_of_size_one_come_and_go(opset: int) -> None:
    axes = {"k": np.array([2])}
    if opset == 11:
        text = "d = Unsqueeze<axes=[2]>(a) b = Squeeze<axes=[2]>(d)"
    else:
        text = "d = Unsqueeze(a, k) b = Squeeze(d, k)"

    assert outcome(in_front(text, axes, opset=opset)).how == "folded_forward"
    assert outcome(behind(text, axes, opset=opset)).how == "folded_backward"


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps", "channels"),
    [
        ([1], [3], [1], [1], 2),
        ([0], [4], [1], [2], 2),
        ([-1], [-5], [1], [-1], 4),
        ([-1], [-(1 << 62)], [1], [-1], 4),
        ([1, 0], [4, 2], [2, 3], [1, 1], 4),
    ],
)
def test_a_slice_takes_what_it_takes(
    starts: list[int], ends: list[int], axes: list[int], steps: list[int], channels: int
) -> None:
    given = {
        name: np.array(numbers)
        for name, numbers in {"s": starts, "e": ends, "x_": axes, "t": steps}.items()
    }
    proto = in_front("b = Slice(a, s, e, x_, t)", given, weight=(3, channels, 1, 1))

    assert outcome(proto).how == "folded_forward"


def test_a_slice_of_opset_9_has_its_bounds_in_attributes() -> None:
    proto = in_front("b = Slice<starts=[1],ends=[3],axes=[1]>(a)", weight=(3, 2, 1, 1), opset=9)

    assert outcome(proto).how == "folded_forward"


def test_a_slice_of_all_axes_names_none() -> None:
    given = {"s": np.array([0, 1]), "e": np.array([2, 3])}

    assert outcome(in_front("b = Slice(a, s, e)", given, weight=(3, 2, 1, 1))).how == (
        "folded_forward"
    )


def test_a_slice_of_the_channels_does_not_say_what_became_of_the_rest() -> None:
    given = {"s": np.array([1]), "e": np.array([3]), "k": np.array([1])}
    proto = behind("b = Slice(a, s, e, k)", given, of=parameters(channels=2))

    result = outcome(proto)

    assert result.how == "kept"
    assert "Slice 'b' leaves out channels of what it reads" in result.reason


def test_a_slice_of_the_image_lets_a_batch_norm_back() -> None:
    given = {"s": np.array([1]), "e": np.array([3]), "k": np.array([2])}

    assert outcome(behind("b = Slice(a, s, e, k)", given)).how == "folded_backward"


def test_a_reshape_that_joins_channels_which_differ_is_left_alone() -> None:
    """(n, 4, 6, 5) as (n, 2, 12, 5): a batch norm of 2 channels is one of 4 in front of it."""
    proto = behind("b = Reshape(a, s)", {"s": np.array([0, 2, 12, 5])}, of=parameters(channels=2))
    assert outcome(proto).how == "folded_backward"

    proto = behind("b = Reshape(a, s)", {"s": np.array([0, 8, 3, 5])}, of=parameters(channels=8))
    assert "works along axis 1" in outcome(proto).reason
