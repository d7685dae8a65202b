"""What is written: names, shared constants, operators in place of affines."""

import numpy as np
import onnx

from tests.export.folding.sandwiches import parameters
from tests.export.graphs import EXACT, IMAGE, WEIGHT, bn, folded, model, norm, normal, op_types
from tests.export.oracle import difference, error_after_fold


def names(proto: onnx.ModelProto) -> set[str]:
    return {one.name for one in proto.graph.initializer}


def test_one_weight_behind_two_batch_norms_becomes_two() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} s = Sigmoid(d) e = Conv(s, w) {bn('e', prefix='two')}",
        {"w": normal(4, 4, 3, 3), **norm(4), **norm(4, seed=7, prefix="two")},
        inputs="double[n,4,7,7] x",
        outputs="double[n,4,3,3] y",
    )

    after, _ = folded(proto)

    assert error_after_fold(proto, 2, 4, 7, 7) <= EXACT
    assert len(names(after)) == 4


def test_a_weight_that_another_operator_reads_keeps_its_value() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} s = Sigmoid(x) e = Conv(s, w) y = Mul(d, e)",
        {**WEIGHT, **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    after, _ = folded(proto)

    kept = {one.name: onnx.numpy_helper.to_array(one) for one in after.graph.initializer}
    assert np.array_equal(kept["w"], WEIGHT["w"])
    assert error_after_fold(proto, 2, 4, 6, 5) <= EXACT


def test_a_name_that_the_new_bias_would_take_stays_with_its_owner() -> None:
    proto = model(
        f"c = Conv(x, weight) {bn('c', 'd')} s = Sigmoid(d) y = Mul(s, bias)",
        {"weight": WEIGHT["w"], "bias": normal(6, 3, 4, 3)[:1], **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    after, _ = folded(proto)

    assert "bias" in names(after)
    assert len(names(after)) == 3
    assert error_after_fold(proto, 2, 4, 6, 5) <= EXACT


def test_a_batch_norm_that_takes_another_in_stays_one() -> None:
    """One operator that runtimes know, not a Mul and an Add."""
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} {bn('c', 'e', prefix='two')} s = Sigmoid(d) r = Tanh(e) "
        "y = Add(s, r)",
        {"w": normal(3, 4, 1, 1), **parameters(channels=3), **norm(3, seed=4, prefix="two")},
        inputs=IMAGE,
        outputs="double[n,3,6,5] y",
    )

    after, report = folded(proto, "safe")

    assert op_types(after).count("BatchNormalization") == report.bn_after == 1
    assert "Mul" not in op_types(after)
    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT


def test_a_chain_that_takes_another_in_stays_as_short() -> None:
    proto = model(
        "c = Conv(x, w) p = Mul(c, k) d = Add(p, l) q = Mul(c, m) e = Add(q, l) s = Sigmoid(d) "
        "r = Tanh(e) y = Add(s, r)",
        {
            "w": normal(3, 4, 1, 1),
            "k": normal(3, 1, 1),
            "l": normal(3, 1, 1, seed=2),
            "m": normal(3, 1, 1, seed=3),
        },
        inputs=IMAGE,
        outputs="double[n,3,6,5] y",
    )

    after, report = folded(proto, "safe")

    assert report.affines_before == 2
    assert report.affines_after == 1
    assert len(after.graph.node) == len(proto.graph.node) - 2
    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT


def test_new_operators_are_named_after_those_they_stand_for() -> None:
    proto = model(
        f"c = Conv(x, w) r = Relu(c) {bn('r')}",
        {"w": normal(3, 4, 1, 1), **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,6,5] y",
    )
    proto.graph.node[1].name = "activation"

    after, _ = folded(proto, "all")

    assert [node.op_type for node in after.graph.node] == ["Conv", "Max", "Min"]
    assert [node.name for node in after.graph.node[1:]] == ["activation/Max", "activation"]
    assert after.graph.node[-1].output == ["y"]
