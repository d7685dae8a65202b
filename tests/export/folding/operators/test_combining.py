"""Sums and products: sums need one scale on all sides, products multiply theirs."""

import numpy as np
import onnx
import pytest

from tests.export.folding.sandwiches import outcome, parameters, with_shape
from tests.export.graphs import EXACT, Array, bn, folded, model, norm, normal, op_types
from tests.export.oracle import difference

W = {"w": normal(4, 4, 1, 1, seed=5), "v": normal(4, 4, 3, 3, seed=6)}
PADS = "pads=[1,1,1,1]"


def graph(body: str, arrays: dict[str, Array], size: str = "n,4,6,5") -> onnx.ModelProto:
    return with_shape(model(body, {**W, **arrays}, inputs=f"double[{size}] x", outputs="double y"))


@pytest.mark.parametrize("operator", ["Add(c, d)", "Sub(c, d)", "Sum(c, d)"])
def test_a_batch_norm_behind_a_sum_goes_into_all_its_operands(operator: str) -> None:
    proto = graph(
        f"s = Sigmoid(x) c = Conv(s, w) d = Conv<{PADS}>(x, v) e = {operator} {bn('e')}", norm(4)
    )

    result = outcome(proto)

    assert result.how == "folded_backward"
    assert set(result.entry.into) == {"c", "d"}


def test_a_shift_behind_a_sum_goes_into_one_operand() -> None:
    proto = graph(
        f"s = Sigmoid(x) c = Conv(x, w) e = Add(s, c) {bn('e')}", parameters(scales=False)
    )

    result = outcome(proto)

    assert result.how == "folded_backward"
    assert result.entry.into == ("c",)


def test_a_scale_behind_a_sum_needs_all_operands() -> None:
    proto = graph(f"s = Sigmoid(x) c = Conv(x, w) e = Add(s, c) {bn('e')}", norm(4))

    assert "Sigmoid 's' needs its tensors as they are" in outcome(proto).reason


def test_a_shift_in_front_of_a_sum_goes_on_or_into_the_operand_beside_it() -> None:
    on = graph(
        f"s = Sigmoid(x) {bn('x', 'a')} e = Add(s, a) y = Conv(e, w)", parameters(scales=False)
    )
    beside = graph(
        f"c = Conv(x, w) {bn('x', 'a')} e = Add(c, a) y = Sigmoid(e)", parameters(scales=False)
    )

    assert outcome(on).entry.into == ("y",)
    assert outcome(beside).entry.into == ("c",)


def test_a_scale_in_front_of_a_sum_needs_the_operand_beside_it() -> None:
    proto = graph(
        f"g = Sigmoid(x) c = Conv(g, w) {bn('x', 'a')} e = Add(c, a) y = Conv(e, w)", parameters()
    )
    assert outcome(proto).how == "folded_forward"

    proto = graph(f"s = Sigmoid(x) {bn('x', 'a')} e = Add(s, a) y = Conv(e, w)", parameters())
    assert outcome(proto).how == "kept"


def test_a_sum_of_different_scales_is_not_stored() -> None:
    proto = graph(
        f"{bn('x', 'a')} {bn('x', 'b', prefix='two')} e = Add(a, b) y = Conv(e, w)",
        {**norm(4), **norm(4, seed=8, prefix="two")},
    )

    after, report = folded(proto)

    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT
    assert report.bn_after > 0


def test_a_constant_operand_takes_what_no_tensor_took() -> None:
    """Its shape is that of an embedding of positions, not of channels."""
    proto = graph(f"c = Conv(x, w) e = Sum(c, k) {bn('e')}", {**norm(4), "k": normal(1, 4, 6, 5)})

    assert outcome(proto).how == "folded_backward"


@pytest.mark.parametrize("operator", ["Add(c, k)", "Sub(k, c)"])
def test_a_sum_with_a_constant_takes_it_too_though_it_could_be_an_affine(operator: str) -> None:
    proto = graph(f"c = Conv(x, w) e = {operator} {bn('e')}", {**norm(4), "k": normal(1, 4, 6, 5)})

    result = outcome(proto)

    assert (result.how, result.left) == ("folded_backward", ["Conv", operator[:3]])


def test_a_sum_of_two_constants_and_a_tensor_is_left_alone() -> None:
    proto = graph(
        f"c = Conv(x, w) e = Sum(c, k, l) {bn('e')}",
        {**norm(4), "k": normal(1, 4, 6, 5), "l": normal(1, 4, 6, 5, seed=2)},
    )

    assert "Sum 'e' adds more than one constant" in outcome(proto).reason


def test_a_sum_of_three_gives_a_shift_to_one_of_them() -> None:
    proto = graph(
        f"s = Sigmoid(x) r = Tanh(x) c = Conv(x, w) e = Sum(s, c, r) {bn('e')}",
        parameters(scales=False),
    )

    assert outcome(proto).entry.into == ("c",)


def test_one_tensor_twice_is_left_alone() -> None:
    proto = graph(f"c = Conv(x, w) e = Add(c, c) {bn('e')}", norm(4))

    assert "Add 'e' reads one tensor twice" in outcome(proto).reason


def test_an_operand_for_each_channel_is_stored_for_each_channel() -> None:
    """(n, 4, 1, 1) beside (n, 4, 6, 5): one number of each channel."""
    proto = graph(
        f"g = GlobalAveragePool(x) c = Conv(g, w) d = Conv(x, w) e = Add(c, d) {bn('e')}", norm(4)
    )

    assert outcome(proto).how == "folded_backward"


def test_an_operand_that_is_broadcast_over_the_channels_takes_no_batch_norm() -> None:
    proto = graph(
        f"g = ReduceMean<axes=[1]>(x) c = Conv(g, u) d = Conv(x, w) e = Add(c, d) {bn('e')}",
        {**norm(4), "u": normal(1, 1, 1, 1)},
    )

    assert "Add 'e' broadcasts 'c'" in outcome(proto).reason


def test_but_the_operand_beside_it_takes_a_shift() -> None:
    proto = graph(
        f"g = ReduceMean<axes=[1]>(x) c = Conv(g, u) d = Conv(x, w) e = Add(c, d) {bn('e')}",
        {**parameters(scales=False), "u": normal(1, 1, 1, 1)},
    )

    assert outcome(proto).entry.into == ("d",)


def test_an_operand_of_unknown_channels_may_be_broadcast() -> None:
    """Where the shape does not say that there are four, there may be one."""
    proto = model(
        f"c = Conv(x, w) q = Abs(p) r = Reshape(z, q) f = Identity(r) e = Add(c, f) {bn('e')}",
        {**W, **norm(4)},
        inputs="double[n,4,6,5] x, double[m] z, int64[4] p",
        outputs="double[n,4,6,5] y",
    )

    _, report = folded(proto)

    assert report.nodes[0].outcome in {"kept", "reduced"}


@pytest.mark.parametrize("order", ["(g, c)", "(c, g)"])
def test_a_scale_goes_through_a_gate(order: str) -> None:
    """Squeeze and excite: the gate stays as it is, the scale goes back past it."""
    scales = parameters(shifts=False)
    behind = graph(f"g = Sigmoid(x) c = Conv(x, w) m = Mul{order} {bn('m')}", scales)
    in_front = graph(f"g = Sigmoid(x) {bn('x', 'c')} m = Mul{order} y = Conv(m, w)", scales)

    assert outcome(behind).how == "folded_backward"
    assert outcome(in_front).how == "folded_forward"


@pytest.mark.parametrize("operator", ["Mul(c, g)", "Mul(g, c)", "Div(c, g)"])
def test_a_shift_does_not(operator: str) -> None:
    proto = graph(f"g = Sigmoid(x) c = Conv(x, w) m = {operator} {bn('m')}", norm(4))

    result = outcome(proto)

    assert result.how == "kept"
    assert f"{operator[:3]} 'm' would multiply a shift" in result.reason


@pytest.mark.parametrize("operator", ["Div(c, g)", "Div(g, c)"])
def test_a_quotient_divides_its_scales(operator: str) -> None:
    proto = graph(
        f"g = Sigmoid(x) c = Conv(x, w) m = {operator} {bn('m')}", parameters(shifts=False)
    )

    assert outcome(proto).how == "folded_backward"


def test_a_divisor_may_be_stored_scaled() -> None:
    proto = graph(
        f"g = Sigmoid(x) {bn('x', 'c')} m = Div(g, c) y = Conv(m, w)", parameters(shifts=False)
    )

    assert outcome(proto).how == "folded_forward"


def test_but_not_by_zero() -> None:
    """What it computes is infinite, or not a number, in that channel; it stays so."""
    zero = parameters(shifts=False)
    zero["bn_gamma"][2] = 0
    proto = graph(f"g = Sigmoid(x) {bn('x', 'c')} m = Div(g, c) y = Conv(m, w)", zero)

    _, report = folded(proto)

    assert "Div 'm' would divide by zero" in str(report.nodes[0].reason)


def test_a_gamma_of_zero_goes_forward_through_a_product() -> None:
    zero = parameters(shifts=False)
    zero["bn_gamma"][2] = 0
    proto = graph(f"g = Sigmoid(x) {bn('x', 'c')} m = Mul(g, c) y = Conv(m, w)", zero)

    assert outcome(proto).how == "folded_forward"


def test_a_square_squares_its_scale() -> None:
    scales = parameters(shifts=False)
    proto = graph(f"{bn('x', 'c')} m = Mul(c, c) y = Conv(m, w)", scales)
    assert outcome(proto).how == "folded_forward"

    proto = graph(f"c = Conv(x, w) m = Mul(c, c) {bn('m')}", scales)
    assert "Mul 'm' cannot pass its scale on" in outcome(proto).reason


def test_a_scale_for_each_channel_does_not_go_into_one_number() -> None:
    """The gate has one number for all channels; the other side takes it, or nobody."""
    scales = parameters(shifts=False)
    taken = graph(f"g = ReduceMean<axes=[1]>(x) c = Conv(x, w) m = Mul(g, c) {bn('m')}", scales)
    proto = graph(f"g = ReduceMean<axes=[1]>(x) c = Sigmoid(x) m = Mul(g, c) {bn('m')}", scales)

    assert outcome(taken).entry.into == ("c",)
    assert outcome(proto).how == "kept"


def test_a_residual_stream_is_stored_otherwise_at_no_cost() -> None:
    """What computes it and what is added to it are told; its reader decodes it."""
    proto = graph(
        f"c = Conv<{PADS}>(x, v) {bn('c', 'a')} r = Relu(a) d = Conv<{PADS}>(r, v) s = Add(c, d) "
        "y = Conv(s, w)",
        parameters("positive"),
    )

    result = outcome(proto, "safe")

    assert result.how == "folded_backward"
    assert result.left == ["Conv", "Relu", "Conv", "Add", "Conv"]
    assert set(result.entry.into) == {"c", "d", "y"}
    assert set(result.entry.through) == {"c", "d", "s"}


def test_nothing_is_added_that_was_not_there() -> None:
    proto = graph(
        f"c = Conv<{PADS}>(x, v) {bn('c', 'a')} r = Relu(a) d = Conv<{PADS}>(r, v) y = Add(c, d)",
        parameters("positive"),
    )

    after, _ = folded(proto, "safe")

    assert len(after.graph.node) <= len(proto.graph.node)
    assert op_types(after).count("BatchNormalization") <= 1


def test_a_wrong_sign_of_a_shift_would_be_noticed() -> None:
    proto = graph(
        f"s = Sigmoid(x) c = Conv(x, w) e = Sub(s, c) {bn('e')}", parameters(scales=False)
    )
    after, _ = folded(proto)
    for tensor in after.graph.initializer:
        if tensor.name == "w_bias":
            turned = -onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(turned, tensor.name))

    assert difference(proto, after, normal(2, 4, 6, 5)) > 1e3 * EXACT
    assert np.isfinite(difference(proto, after, normal(2, 4, 6, 5)))


def test_a_shift_that_drowned_an_operand_is_not_taken_off_again_behind_the_sum() -> None:
    """A gamma of 1e-9: what is stored shifted has lost nine digits, whoever takes the shift off."""
    tiny = parameters("positive")
    tiny["bn_gamma"][:] = 1e-9
    proto = graph(
        f"c = Conv(x, w) {bn('c', 'a')} r = Relu(a) d = Conv(r, u) s = Add(c, d) y = Conv(s, t)",
        {**tiny, "u": normal(4, 4, 1, 1, seed=8), "t": normal(4, 4, 1, 1, seed=9)},
    )

    assert outcome(proto, "safe").how == "kept"
