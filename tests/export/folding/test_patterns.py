"""Where batch norms stand in networks, and what becomes of each: operators left, and outcomes."""

from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from export.folding import Mode
from tests.export.folding.sandwiches import Signs, parameters, with_shape
from tests.export.graphs import EXACT, Array, bn, folded, model, normal, op_types
from tests.export.oracle import difference

PADS = "<pads=[1,1,1,1]>"
WEIGHTS = {
    "one": normal(4, 4, 1, 1),
    "two": normal(4, 4, 1, 1, seed=2),
    "square": normal(4, 4, 3, 3, seed=3),
    "wide": normal(3, 8, 1, 1, seed=4),
    "matrix": normal(4, 3, seed=5),
}


@dataclass(frozen=True)
class Left:
    """What is left of a network, and what became of its batch norms."""

    operators: list[str]
    outcomes: list[str]
    reasons: list[str]
    blocked_by: list[tuple[str, ...]]


def fold_of(
    body: str, mode: Mode, signs: Signs = "mixed", size: str = "4,7,7", **arrays: Array
) -> Left:
    """Fold a network of up to three batch norms, bn, b2 and b3; its numbers are checked."""
    norms: dict[str, Array] = {}
    for seed, prefix in enumerate(("bn", "b2", "b3")):
        given = parameters(signs)
        norms |= {k.replace("bn", prefix): np.roll(a, seed) for k, a in given.items()}
    proto = with_shape(
        model(
            body,
            {**WEIGHTS, **norms, **arrays},
            inputs=f"double[n,{size}] x",
            outputs="double y",
        )
    )
    after, report = folded(proto, mode)
    # Three batch norms, each with its gauge, on top of the sums themselves.
    assert difference(proto, after, normal(2, *map(int, size.split(",")))) <= 10 * EXACT
    return Left(
        op_types(after),
        [node.outcome for node in report.nodes],
        [node.reason or "" for node in report.nodes],
        [node.blocked_by for node in report.nodes],
    )


@pytest.mark.parametrize("mode", ["safe", "all"])
@pytest.mark.parametrize(
    ("linear", "size", "left"),
    [
        (f"Conv{PADS}(x, square)", "4,7,7", "Conv"),
        ("ConvTranspose(x, square)", "4,7,7", "ConvTranspose"),
        ("Conv<group=4,pads=[1,1,1,1]>(x, deep)", "4,7,7", "Conv"),
        ("Gemm(x, square_matrix)", "4", "Gemm"),
        ("MatMul(x, square_matrix)", "4", "Gemm"),
    ],
)
def test_behind_a_linear_operator_it_goes_back(
    linear: str, size: str, left: str, mode: Mode
) -> None:
    found = fold_of(
        f"c = {linear} {bn('c', 'd')} y = Sigmoid(d)",
        mode,
        size=size,
        deep=normal(4, 1, 3, 3),
        square_matrix=normal(4, 4),
    )

    assert found.operators == [left, "Sigmoid"]
    assert found.outcomes == ["folded_backward"]


@pytest.mark.parametrize("mode", ["safe", "all"])
@pytest.mark.parametrize(
    "way",
    [
        "p = AveragePool<kernel_shape=[2,2]>(d)",
        "p = GlobalAveragePool(d)",
        'p = Pad<mode="reflect">(d, k)',
        "q = Transpose<perm=[0,2,3,1]>(d) p = Transpose<perm=[0,3,1,2]>(q)",
    ],
)
def test_in_front_of_an_unpadded_linear_operator_it_goes_forward(way: str, mode: Mode) -> None:
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    found = fold_of(f"s = Sigmoid(x) {bn('s', 'd')} {way} y = Conv(p, one)", mode, k=pads)

    assert found.outcomes == ["folded_forward"]
    assert "BatchNormalization" not in found.operators


def test_in_front_of_zero_padding_the_scale_goes_and_one_add_stays() -> None:
    body = f"s = Sigmoid(x) {bn('s', 'd')} y = Conv{PADS}(d, square)"

    assert fold_of(body, "all").operators == ["Sigmoid", "Add", "Conv"]
    kept = fold_of(body, "safe")
    assert kept.outcomes == ["kept"]
    assert kept.blocked_by == [("s", "y")]


KERAS = (
    "c = Conv(x, one) r = Relu(c) {norm} p = MaxPool<kernel_shape=[2,2],strides=[2,2]>(d) "
    "e = Conv(p, two) y = Relu(e)"
)


def test_keras_style_conv_relu_norm_pool_conv_loses_it_for_positive_gammas() -> None:
    """ReLU: the scale goes back, the pool keeps the order, the shift goes forward."""
    found = fold_of(KERAS.format(norm=bn("r", "d")), "safe", "positive")

    assert found.operators == ["Conv", "Relu", "MaxPool", "Conv", "Relu"]
    assert found.outcomes[0] in {"split", "folded_forward"}


def test_and_has_at_most_one_more_operator_for_negative_ones() -> None:
    found = fold_of(KERAS.format(norm=bn("r", "d")), "all", "mixed")

    assert "BatchNormalization" not in found.operators
    assert len(found.operators) <= len(["Conv", "Max", "Min", "MaxPool", "Conv", "Relu"])


def test_as_keras_exports_it_a_batch_norm_is_a_chain() -> None:
    norm = "n = Mul(r, s) d = Add(n, t)"
    scale, shift = np.abs(normal(4, 1, 1)) + 0.3, normal(4, 1, 1, seed=2)

    found = fold_of(KERAS.format(norm=norm), "safe", s=scale, t=shift)

    assert found.operators == ["Conv", "Relu", "MaxPool", "Conv", "Relu"]


DENSE = (
    f"s = Sigmoid(x) c = Conv(s, one) j = Concat<axis=1>(s, c) {bn('j', 'd')} r = Relu(d) "
    "e = Conv(r, wide) y = Sigmoid(e)"
)


def dense(mode: Mode, signs: Signs = "mixed") -> Left:
    eight = {
        f"bn_{role}": np.concatenate([array, array[::-1]])
        for role, array in ((k.split("_")[1], a) for k, a in parameters(signs).items())
    }
    return fold_of(DENSE, mode, signs, "4,7,7", **eight)


@pytest.mark.parametrize("signs", ["positive", "negative", "mixed"])
def test_a_dense_block_becomes_bounds_for_each_channel(signs: Signs) -> None:
    found = dense("all", signs)

    assert found.outcomes == ["clamped"]
    assert "Relu" not in found.operators
    assert {"Max", "Min"} & set(found.operators)


def test_and_stays_where_bounds_are_not_wanted() -> None:
    found = dense("safe")

    assert found.outcomes == ["kept"]
    assert "Relu 'r' would have to become a Max or Min for each channel" in found.reasons[0]


PREACTIVATION = (
    f"h = Conv{PADS}(x, square) {bn('h', 'a')} r = Relu(a) c = Conv{PADS}(r, square) "
    f"{bn('c', 'd', prefix='b2')} q = Relu(d) e = Conv{PADS}(q, square) u = Add(h, e) "
    f"{bn('u', 'f', prefix='b3')} v = Relu(f) g = GlobalAveragePool(v) y = Conv(g, one)"
)


def test_a_preactivation_network_loses_all_for_positive_gammas_and_gains_no_operator() -> None:
    """The residual stream is stored shifted: its producers' biases absorb it."""
    found = fold_of(PREACTIVATION, "safe", "positive")

    assert "BatchNormalization" not in found.operators
    assert set(found.operators) == {"Conv", "Relu", "Add", "GlobalAveragePool"}
    assert len(found.operators) == PREACTIVATION.count("=") - PREACTIVATION.count("pads=") - 3
    assert found.outcomes[1] == "folded_backward"
    assert set(found.outcomes) <= {"split", "folded_backward", "folded_forward"}


def test_for_negative_ones_bounds_take_the_rest() -> None:
    assert "BatchNormalization" not in fold_of(PREACTIVATION, "all").operators


def test_repvgg_becomes_one_convolution_a_block() -> None:
    found = fold_of(
        f"c = Conv{PADS}(x, square) {bn('c', 'd')} e = Conv(x, one) {bn('e', 'f', prefix='b2')} "
        f"{bn('x', 'g', prefix='b3')} a = Add(d, f) b = Add(a, g) y = Relu(b)",
        "safe",
    )

    assert found.operators == ["Conv", "Relu"]
    assert found.outcomes == ["folded_backward", "folded_backward", "merged"]


@pytest.mark.parametrize("operator", ["Relu(c)", "Clip(c, low, high)"])
def test_between_a_clamp_and_a_padded_convolution_the_clamp_takes_it(operator: str) -> None:
    """Any sign: ``s * relu(y) + t`` is a clamp of ``s * y + t``."""
    found = fold_of(
        f"c = Conv(x, one) r = {operator} {bn('r', 'd')} y = Conv{PADS}(d, square)",
        "all",
        low=np.array(0.0),
        high=np.array(6.0),
    )

    assert found.outcomes == ["clamped"]
    assert found.operators == ["Conv", "Max", "Min", "Conv"]


def test_a_leaky_relu_lets_the_scale_back_and_the_shift_on() -> None:
    body = f"c = Conv(x, one) r = LeakyRelu(c) {bn('r', 'd')} y = Conv(d, two)"

    assert fold_of(body, "safe", "positive").operators == ["Conv", "LeakyRelu", "Conv"]


@pytest.mark.parametrize("mode", ["safe", "all"])
def test_behind_a_smooth_activation_it_goes_forward(mode: Mode) -> None:
    found = fold_of(f"c = Conv(x, one) s = Tanh(c) {bn('s', 'd')} y = Conv(d, two)", mode)

    assert found.operators == ["Conv", "Tanh", "Conv"]
    assert found.outcomes == ["folded_forward"]


@pytest.mark.parametrize("mode", ["safe", "all"])
def test_between_a_tensor_of_several_readers_and_a_smooth_activation_it_stays(mode: Mode) -> None:
    found = fold_of(
        f"s = Sigmoid(x) {bn('s', 'd')} t = Tanh(d) e = Conv{PADS}(t, square) y = Add(s, e)", mode
    )

    assert found.outcomes == ["kept"]
    assert "Sigmoid 's' needs its tensors as they are" in found.reasons[0]
    assert "Tanh 't' needs its tensors as they are" in found.reasons[0]
    assert found.blocked_by == [("s", "t")]


def test_a_shuffle_of_channels_takes_the_batch_norm_along() -> None:
    found = fold_of(
        f"c = Conv(x, one) f = Reshape(c, apart) g = Transpose<perm=[0,2,1,3,4]>(f) "
        f"h = Reshape(g, joined) {bn('h', 'd')} y = Sigmoid(d)",
        "safe",
        apart=np.array([0, 2, 2, 7, 7]),
        joined=np.array([0, 4, 7, 7]),
    )

    assert found.outcomes == ["folded_backward"]


def test_a_gate_lets_the_scale_back_and_the_shift_stays() -> None:
    """Squeeze and excite between a convolution and a batch norm."""
    body = (
        "c = Conv(x, one) g = GlobalAveragePool(x) k = Conv(g, two) s = Sigmoid(k) "
        f"m = Mul(c, s) {bn('m', 'd')} y = Tanh(d)"
    )

    found = fold_of(body, "all")
    assert found.outcomes == ["reduced"]
    assert found.operators.count("Add") == 1
    assert "BatchNormalization" not in found.operators


def proto_of(body: str) -> onnx.ModelProto:
    arrays = {**WEIGHTS, **parameters()}
    return with_shape(model(body, arrays, inputs="double[n,4,7,7] x", outputs="double y"))


def test_what_a_batch_norm_went_through_and_into_is_told() -> None:
    proto = proto_of(
        f"s = Sigmoid(x) {bn('s', 'd')} p = AveragePool<kernel_shape=[2,2]>(d) y = Conv(p, one)"
    )

    _, report = folded(proto)

    (entry,) = report.nodes
    assert (entry.name, entry.kind) == ("d", "batch_norm")
    assert entry.into == ("y",)
    assert entry.through == ("d", "p")
    assert (entry.reason, entry.blocked_by) == (None, ())
    assert (report.bn_before, report.bn_after) == (1, 0)
    assert (report.affines_before, report.affines_after) == (0, 0)


def test_what_is_left_of_one_is_told_with_its_reason() -> None:
    proto = proto_of(f"s = Sigmoid(x) {bn('s', 'd')} y = Conv{PADS}(d, square)")

    _, report = folded(proto)

    (entry,) = report.nodes
    assert entry.outcome == "reduced"
    assert "y" in entry.into
    assert "pads its input with zeros" in str(entry.reason)
    assert (report.bn_before, report.bn_after, report.kept) == (1, 1, ())
