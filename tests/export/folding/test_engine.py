"""The engine over whole graphs: signatures, subgraphs, what is cleared away."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.folding import Mode, fold
from tests.export.folding.sandwiches import parameters
from tests.export.graphs import (
    EXACT,
    Array,
    bn,
    count,
    folded,
    kept_reason,
    model,
    norm,
    normal,
    op_types,
    reference,
    relative_error,
    run_float32,
)
from tests.export.oracle import difference

# Float32 weights and activations of a network of one or two layers: some ten roundings of 6e-8.
FLOAT32 = 1e-6

ARRAYS = {"w": normal(3, 2, 2), **norm(3)}


def test_inputs_and_outputs_keep_names_order_and_shapes() -> None:
    proto = model(
        f"r = Relu(a) c = Conv(x, w) {bn('c')}",
        ARRAYS,
        inputs="double[n,2,4] x, double[k] a",
        outputs="double[k] r, double[n,3,j] y",
    )

    after, _ = folded(proto)

    assert list(after.graph.input) == list(proto.graph.input)
    assert list(after.graph.output) == list(proto.graph.output)


def test_an_output_behind_a_folded_batch_norm_keeps_its_name_where_it_is_read_too() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c')} z = Relu(y)",
        ARRAYS,
        inputs="double[n,2,4] x",
        outputs="double[n,3,k] z, double[n,3,k] y",
    )

    after, _ = folded(proto)

    assert op_types(after) == ["Conv", "Relu"]
    assert [value.name for value in after.graph.output] == ["z", "y"]
    assert after.graph.node[1].input == ["y"]


def test_what_nobody_reads_any_more_is_cleared_away() -> None:
    proto = model(
        "v = Identity(bn_var) c = Conv(x, w) "
        "y = BatchNormalization(c, bn_gamma, bn_beta, bn_mean, v)",
        ARRAYS,
        inputs="double[n,2,4] x",
        outputs="double[n,3,k] y",
    )

    after, _ = folded(proto)

    assert op_types(after) == ["Conv"]
    assert {one.name for one in after.graph.initializer} == {"w", "w_bias"}


def test_what_nobody_read_before_does_not_count() -> None:
    """A dead reader of the convolution does not bar the fold, and a dead batch norm is none."""
    proto = model(
        f"c = Conv(x, w) dead = Relu(c) {bn('c')} {bn('x', 'gone', prefix='two')}",
        {**ARRAYS, **norm(2, prefix="two")},
        inputs="double[n,2,4] x",
        outputs="double[n,3,k] y",
    )

    after, report = folded(proto)

    assert op_types(after) == ["Conv"]
    assert (report.bn_before, report.bn_after) == (1, 0)


def test_nodes_are_reported_by_name_in_the_order_of_the_graph() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} r = Relu(d) {bn('r')}",
        ARRAYS,
        inputs="double[n,2,4] x",
        outputs="double[n,3,k] y",
    )
    proto.graph.node[0].name = "stem"
    proto.graph.node[1].name = "stem_bn"

    _, report = folded(proto, "safe")

    first, second = report.nodes
    assert (first.name, first.outcome, first.into) == ("stem_bn", "folded_backward", ("stem",))
    assert (second.name, second.outcome, second.into) == ("y", "kept", ())
    assert second.blocked_by == ("r", "y")
    assert report.bn_before == 2
    assert report.kept == (second,)


def test_a_model_without_batch_norm_stays_as_it_is() -> None:
    proto = model("y = Relu(x)", {}, inputs="double[n] x", outputs="double[n] y")

    after, report = folded(proto)

    assert report.bn_before == report.bn_after == 0
    assert op_types(after) == ["Relu"]


def test_of_two_batch_norms_on_one_convolution_one_goes() -> None:
    """The convolution computes the one; the other is told what it reads now."""
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} {bn('c', 'e', prefix='two')} s = Sigmoid(d) y = Add(s, e)",
        {**ARRAYS, **norm(3, seed=5, prefix="two")},
        inputs="double[n,2,4] x",
        outputs="double[n,3,3] y",
    )

    after, report = folded(proto)

    assert {node.outcome for node in report.nodes} == {"folded_backward", "kept"}
    assert report.bn_after == 1
    assert difference(proto, after, normal(2, 2, 4)) <= EXACT


def test_two_batch_norms_behind_one_tensor_do_not_hand_a_scale_to_and_fro_for_ever() -> None:
    parameters = {**norm(3), **norm(3, seed=5, prefix="two")}
    parameters["bn_gamma"][0] = parameters["two_gamma"][1] = 1e-30
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} {bn('c', 'e', prefix='two')} s = Sigmoid(d) r = Tanh(e) "
        "y = Add(s, r)",
        {**ARRAYS, **parameters},
        inputs="double[n,2,4] x",
        outputs="double[n,3,3] y",
    )

    after, _ = folded(proto)

    assert len(after.graph.node) <= len(proto.graph.node)
    assert difference(proto, after, normal(2, 2, 4)) <= EXACT


def test_an_affine_that_is_reduced_knows_what_it_reads_from_then_on() -> None:
    """A shift must not go into a tensor that a move before has stored a billion times smaller."""
    proto = model(
        "m = MatMul(x, w) s = Sub(k, m) q = Mul(s, t) a = Add(q, k) j = Concat<axis=2>(a, s) "
        "y = MatMul(j, v)",
        {"w": normal(3, 3), "v": normal(6, 2), "k": np.array([0.7]), "t": np.array([5e-10])},
        inputs="double[n,7,3] x",
        outputs="double[n,7,2] y, double[n,7,3] a",
    )

    after, _ = folded(proto)

    assert difference(proto, after, normal(2, 7, 3)) <= EXACT


def test_a_graph_in_float32_computes_the_same_under_onnx_runtime() -> None:
    arrays = {"w": normal(3, 2, 2, dtype=np.float32), **norm(3, dtype=np.float32)}
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        arrays,
        inputs="float[n,2,4] x",
        outputs="float[n,3,3] y",
    )
    feeds = {"x": normal(5, 2, 4, dtype=np.float32)}

    after, _ = folded(proto)

    assert relative_error(run_float32(proto, feeds)[0], run_float32(after, feeds)[0]) <= FLOAT32


def test_float32_is_not_so_coarse_that_a_wrong_eps_would_pass() -> None:
    arrays = {"w": normal(3, 2, 2, dtype=np.float32), **norm(3, dtype=np.float32)}
    right, wrong = (
        model(
            f"c = Conv(x, w) {bn('c', attributes=attributes)}",
            arrays,
            inputs="float[n,2,4] x",
            outputs="float[n,3,3] y",
        )
        for attributes in ("<epsilon=0.00001>", "<epsilon=0.001>")
    )
    feeds = {"x": normal(5, 2, 4, dtype=np.float32)}

    after, _ = folded(wrong)

    assert relative_error(run_float32(right, feeds)[0], run_float32(after, feeds)[0]) > FLOAT32


def branch(name: str, body: list[onnx.NodeProto], arrays: Mapping[str, Array]) -> onnx.GraphProto:
    output = helper.make_tensor_value_info(body[-1].output[0], TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(array, key) for key, array in arrays.items()]
    return helper.make_graph(body, name, [], [output], tensors)


PARAMETERS = ["bn_gamma", "bn_beta", "bn_mean", "bn_var"]


def if_model(*, conv_inside: bool, weights_inside: bool) -> onnx.ModelProto:
    """``y = BN(Conv(x)) if flag else Relu(Conv(x))``-like models, in float32."""
    arrays = {"w": normal(2, 2, 3, dtype=np.float32), **norm(2, dtype=np.float32)}
    conv = helper.make_node("Conv", ["x", "w"], ["c"], name="conv")
    norm_node = helper.make_node("BatchNormalization", ["c", *PARAMETERS], ["then_y"], name="norm")
    then = branch(
        "then",
        [conv, norm_node] if conv_inside else [norm_node],
        arrays if weights_inside else {},
    )
    other = branch("other", [helper.make_node("Abs", ["x"], ["else_y"])], {})
    choice = helper.make_node("If", ["flag"], ["z"], then_branch=then, else_branch=other)
    last = helper.make_node("Relu", ["z"], ["y"])
    graph = helper.make_graph(
        [choice, last] if conv_inside else [conv, choice, last],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 5]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, None])],
        [numpy_helper.from_array(a, key) for key, a in arrays.items() if not weights_inside],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("weights_inside", [False, True])
def test_a_batch_norm_in_a_branch_folds_into_the_convolution_beside_it(
    weights_inside: bool,
) -> None:
    proto = if_model(conv_inside=True, weights_inside=weights_inside)

    after, report = folded(proto)

    assert report.bn_after == count(after, "BatchNormalization") == 0
    for flag in (True, False):
        feeds = {"x": normal(3, 2, 5, dtype=np.float32), "flag": np.array(flag)}
        assert relative_error(run_float32(proto, feeds)[0], run_float32(after, feeds)[0]) <= FLOAT32


def test_a_batch_norm_in_a_branch_leaves_a_convolution_outside_alone() -> None:
    proto = if_model(conv_inside=False, weights_inside=False)

    assert "the output of Conv 'conv' is read inside a subgraph" in kept_reason(proto)


def test_a_batch_norm_in_a_loop_folds_into_the_convolution_beside_it() -> None:
    arrays = {"w": normal(2, 2, 1, dtype=np.float32), **norm(2, dtype=np.float32)}
    body = helper.make_graph(
        [
            helper.make_node("Conv", ["before", "w"], ["c"]),
            helper.make_node("BatchNormalization", ["c", *PARAMETERS], ["after"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, ["n", 2, 5]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, ["n", 2, 5]),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["times", "", "x"], ["y"], body=body)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 5])],
        [
            numpy_helper.from_array(np.array(3), "times"),
            *(numpy_helper.from_array(array, name) for name, array in arrays.items()),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    after, report = folded(proto)

    assert report.bn_after == count(after, "BatchNormalization") == 0
    feeds = {"x": normal(3, 2, 5, dtype=np.float32)}
    # Three rounds of a map that may grow what the round before rounded.
    assert (
        relative_error(run_float32(proto, feeds)[0], run_float32(after, feeds)[0]) <= 10 * FLOAT32
    )


def test_a_batch_norm_in_a_function_folds_where_it_is_called() -> None:
    function = helper.make_function(
        "com.example",
        "Block",
        ["x", "w", *PARAMETERS],
        ["y"],
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("BatchNormalization", ["c", *PARAMETERS], ["y"], name="inner"),
        ],
        [helper.make_opsetid("", 17)],
    )
    graph = helper.make_graph(
        [helper.make_node("Block", ["x", "w", *PARAMETERS], ["y"], domain="com.example")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", 2, 4])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n", 3, None])],
        [numpy_helper.from_array(array, name) for name, array in ARRAYS.items()],
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    proto = helper.make_model(graph, opset_imports=imports, functions=[function], ir_version=8)

    after, report = folded(proto)

    assert report.nodes[0].outcome == "folded_backward"
    assert [one.op_type for one in after.graph.node] == ["Conv"]
    feeds = {"x": normal(3, 2, 4)}
    assert relative_error(reference(proto, feeds), reference(after, feeds)) <= EXACT


def test_an_affine_of_one_in_a_branch_leaves_the_tensor_outside_alone() -> None:
    """A branch must put out a tensor of its own."""
    then = branch("then", [helper.make_node("Mul", ["c", "one"], ["then_y"])], {})
    other = branch("other", [helper.make_node("Abs", ["c"], ["else_y"])], {})
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["x"], ["c"]),
            helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=other),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array(1, np.float32), "one")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    after, _ = folded(proto)

    for flag in (True, False):
        feeds = {"x": normal(3, 2, dtype=np.float32), "flag": np.array(flag)}
        assert np.array_equal(run_float32(proto, feeds)[0], run_float32(after, feeds)[0])


def test_a_batch_norm_that_is_to_stay_stays() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} r = Sigmoid(d) e = Conv(r, v) {bn('e')}",
        {**ARRAYS, "v": normal(3, 3, 1)},
        inputs="double[n,2,4] x",
        outputs="double[n,3,k] y",
    )

    result = fold(proto, "all", keep={"d": "it is asked for"})

    assert [node.outcome for node in result.report.nodes] == ["kept", "folded_backward"]
    assert result.report.nodes[0].reason == "it is asked for"
    assert op_types(result.model) == ["Conv", "BatchNormalization", "Sigmoid", "Conv"]


@pytest.mark.parametrize("mode", ["safe", "all"])
def test_nor_does_another_change_it(mode: Mode) -> None:
    """Its neighbours may not hand it a part of theirs, nor a branch beside it merge with it."""
    proto = model(
        f"c = Conv(x, w) {bn('x', 'd')} a = Add(c, d) r = Relu(a) {bn('r', 'e')} y = Sigmoid(e)",
        {"w": normal(3, 3, 1), **norm(3)},
        inputs="double[n,3,4] x",
        outputs="double[n,3,4] y",
    )

    result = fold(proto, mode, keep={"d": "it is asked for"})

    nodes = {node.output[0]: node for node in result.model.graph.node}
    assert nodes["d"].op_type == "BatchNormalization"
    assert list(nodes["d"].input) == ["x", "bn_gamma", "bn_beta", "bn_mean", "bn_var"]


def test_the_model_that_was_given_is_left_alone() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c')}", ARRAYS, inputs="double[n,2,4] x", outputs="double[n,3,k] y"
    )
    before = proto.SerializeToString()
    graph = ir.from_proto(proto)

    in_ir = fold(graph, "safe")
    in_proto = fold(proto, "safe")

    assert proto.SerializeToString() == before
    assert isinstance(in_proto.model, onnx.ModelProto)
    assert [node.op_type for node in graph.graph] == ["Conv", "BatchNormalization"]
    assert [node.op_type for node in in_ir.model.graph] == ["Conv"]


def test_an_affine_between_two_outputs_leaves_an_identity() -> None:
    proto = model(
        "y = Mul(x, one)", {"one": np.array(1.0)}, inputs="double[n,3] x", outputs="double[n,3] y"
    )

    after, _ = folded(proto)

    assert op_types(after) == ["Identity"]
    assert [value.name for value in after.graph.output] == ["y"]


def test_a_batch_norm_that_another_leaves_nothing_of_is_merged_with_it() -> None:
    """The convolution computes the first; the second, of the same numbers, has nothing to do."""
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} {bn('c', 'e')} s = Sigmoid(d) r = Tanh(e) y = Add(s, r)",
        {**ARRAYS, **parameters(channels=3)},
        inputs="double[n,2,4] x",
        outputs="double[n,3,3] y",
    )

    after, report = folded(proto, "safe")

    assert op_types(after) == ["Conv", "Sigmoid", "Tanh", "Add"]
    assert sorted(node.outcome for node in report.nodes) == ["folded_backward", "merged"]
    assert difference(proto, after, normal(2, 2, 4)) <= EXACT
