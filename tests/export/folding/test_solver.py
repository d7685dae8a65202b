"""What a plan may not touch, and how choices are tried."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.export.folding.sandwiches import outcome, parameters, with_shape
from tests.export.graphs import EXACT, Array, bn, folded, model, norm, normal, op_types
from tests.export.oracle import difference

W = {"w": normal(4, 4, 1, 1), "v": normal(4, 4, 1, 1, seed=2)}


def graph(body: str, **arrays: Array) -> onnx.ModelProto:
    return with_shape(
        model(body, {**W, **parameters(), **arrays}, inputs="double[n,4,6,5] x", outputs="double y")
    )


@pytest.mark.parametrize(
    ("body", "reason", "blocker"),
    [
        (f"a = Abs(x) {bn('a', 'b')} y = Tanh(b)", "Abs 'a' takes positive scales only", "a"),
        (f"a = Erf(x) {bn('a', 'b')} y = Tanh(b)", "Erf 'a' needs its tensors as they are", "a"),
        (f"a = Relu(x) {bn('a', 'b')} y = Erf(b)", "Erf 'y' needs its tensors as they are", "y"),
    ],
)
def test_an_operator_that_is_not_in_the_table_bars_the_way_and_is_named(
    body: str, reason: str, blocker: str
) -> None:
    _, report = folded(graph(body), "safe")

    assert reason in str(report.nodes[0].reason)
    assert blocker in report.nodes[0].blocked_by


def test_an_operator_of_another_domain_is_not_onnx_s() -> None:
    proto = model(
        f"c = Conv(x, w) r = com.example.Relu(c) {bn('r')}",
        {**W, **parameters("positive")},
        inputs="double[n,4,6,5] x",
        outputs="double[n,4,6,5] y",
    )
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    known = helper.make_tensor_value_info("r", TensorProto.DOUBLE, ["n", 4, 6, 5])
    proto.graph.value_info.append(known)

    _, report = folded(proto, "safe")

    assert "Relu 'r' needs its tensors as they are" in str(report.nodes[0].reason)


@pytest.mark.parametrize("gamma", [1e13, 1e-13])
def test_what_would_be_stored_at_another_order_of_magnitude_is_refused(gamma: float) -> None:
    """2^40: beyond it numbers of other sizes drown, or overflow where they are multiplied."""
    scales = parameters("positive", shifts=False)
    scales["bn_gamma"] = np.full(4, gamma)
    proto = graph(f"s = Sigmoid(x) c = Conv(s, w) {bn('c', 'b')} y = Tanh(b)", **scales)

    _, report = folded(proto, "safe")

    assert "times its size" in str(report.nodes[0].reason)


def test_two_ways_that_meet_must_come_to_the_same() -> None:
    """The stream in front of the batch norm is added behind it, with another scale."""
    proto = graph(f"c = Conv(x, w) {bn('c', 'b')} e = Add(b, c) y = Tanh(e)")

    result = outcome(proto)

    assert result.how == "kept"


def test_a_choice_that_fails_later_is_taken_back() -> None:
    """A shift into the first operand meets a Sigmoid; into the second it does not."""
    proto = graph(
        f"s = Sigmoid(x) p = MaxPool<kernel_shape=[1,1]>(s) c = Conv(x, w) "
        f"q = MaxPool<kernel_shape=[1,1]>(c) e = Add(p, q) {bn('e', 'b')} y = Tanh(b)",
        **parameters(scales=False),
    )

    result = outcome(proto)

    assert result.how == "folded_backward"
    assert result.entry.into == ("c",)


def test_a_long_residual_stream_is_solved_in_one_go() -> None:
    """Every shift may go into any operand of every sum: choices are bounded, the network folds."""
    body = "h0 = Conv(x, w) "
    for i in range(12):
        body += (
            f"{bn(f'h{i}', f'a{i}')} r{i} = Relu(a{i}) c{i} = Conv(r{i}, v) "
            f"h{i + 1} = Add(h{i}, c{i}) "
        )
    proto = graph(body + f"{bn('h12', 'a')} r = Relu(a) y = Conv(r, v)", **parameters("positive"))

    after, report = folded(proto, "safe")

    assert report.bn_before == 13
    assert report.bn_after == 0
    assert set(op_types(after)) == {"Conv", "Relu", "Add"}
    # Thirteen gauges on one stream.
    assert difference(proto, after, normal(2, 4, 6, 5)) <= 100 * EXACT


def test_what_a_subgraph_reads_is_not_stored_otherwise() -> None:
    arrays: dict[str, Any] = {
        "w": normal(2, 2, 1, dtype=np.float32),
        **norm(2, dtype=np.float32),
    }
    body = helper.make_graph(
        [helper.make_node("Tanh", ["c"], ["t"])],
        "then",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Abs", ["x"], ["e"])],
        "else",
        [],
        [helper.make_tensor_value_info("e", TensorProto.FLOAT, None)],
    )
    names = ["bn_gamma", "bn_beta", "bn_mean", "bn_var"]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", *names], ["y"]),
        helper.make_node("If", ["flag"], ["z"], then_branch=body, else_branch=other),
    ]
    main = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 5]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 5]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 2, 5]),
        ],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    proto = helper.make_model(main, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    _, report = folded(proto)

    assert "is read inside a subgraph, by Tanh 't'" in str(report.nodes[0].reason)
