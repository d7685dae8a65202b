"""Fifteen ways in which tools that fold batch norms go wrong, each a test."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.folding import Mode, fold
from tests.export.graphs import (
    EXACT,
    IMAGE,
    WEIGHT,
    Array,
    bn,
    count,
    folded,
    kept_reason,
    model,
    norm,
    normal,
    op_types,
    reason_unchecked,
    reference,
    relative_error,
    run_float32,
)
from tests.export.oracle import difference, error_after_fold, error_of_fold, evaluate

OUTPUT = "double[n,3,4,3] y"
NAMES = "bn_gamma, bn_beta, bn_mean, bn_var"


def conv_norm(
    arrays: dict[str, Array], body: str = f"c = Conv(x, w) {bn('c')}", **given: Any
) -> onnx.ModelProto:
    return model(body, {**WEIGHT, **arrays}, inputs=IMAGE, outputs=OUTPUT, **given)


def test_1_a_batch_norm_in_training_is_refused() -> None:
    training = conv_norm(
        norm(3), f"c = Conv(x, w) y, m, v = BatchNormalization<training_mode=1>(c, {NAMES})"
    )
    statistics = conv_norm(
        norm(3), f"c = Conv(x, w) y, m, v, s, t = BatchNormalization(c, {NAMES})", opset=9
    )

    assert "statistics of each batch" in kept_reason(training)
    assert "as a batch norm in training does" in str(reason_unchecked(statistics))


def test_1_a_batch_norm_without_running_statistics_is_refused() -> None:
    """PyTorch computes them in the graph: mean and variance of the batch."""
    body = (
        "c = Conv(x, w) m = ReduceMean<axes=[0,2,3],keepdims=0>(c) "
        "y = BatchNormalization(c, bn_gamma, bn_beta, m, bn_var)"
    )

    assert "its running mean is computed in the graph, by ReduceMean 'm'" in kept_reason(
        conv_norm(norm(3), body)
    )


def test_2_a_float16_convolution_with_a_float32_batch_norm_stays_valid_and_float16() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        {"w": normal(3, 4, 3, 3, dtype=np.float16), **norm(3, dtype=np.float32)},
        inputs="float16[n,4,6,5] x",
        outputs="float16[n,3,4,3] y",
    )

    after, report = folded(proto)

    assert report.bn_after == 0
    assert {one.data_type for one in after.graph.initializer} == {TensorProto.FLOAT16}


def test_3_a_batch_norm_whose_folded_weight_would_overflow_float16_stays() -> None:
    """1e4 times 30 is more than 65504, though the network is finite."""
    parameters = norm(3, dtype=np.float32)
    parameters["bn_gamma"][:], parameters["bn_var"][:] = 30, 1
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        {"w": np.full((3, 4, 1, 1), 1e4, np.float16), **parameters},
        inputs="float16[n,4,6,5] x",
        outputs="float16[n,3,6,5] y",
    )

    after, report = folded(proto, "safe")

    assert report.nodes[0].outcome == "kept"
    assert "overflow float16" in str(report.nodes[0].reason)
    assert op_types(after) == ["Conv", "BatchNormalization"]


@pytest.mark.parametrize("mode", ["safe", "all"])
def test_3_nor_is_anything_else_written_that_would(mode: Mode) -> None:
    """Whatever a batch norm is turned into has constants too."""
    parameters = norm(3, dtype=np.float32)
    parameters["bn_gamma"][:], parameters["bn_beta"][:] = 50, 1e5
    proto = model(
        f"c = Conv(x, w) r = Relu(c) {bn('r', 'z')} s = Sum(z, k) y = Conv(s, w)",
        {
            "w": normal(3, 3, 1, 1, dtype=np.float16),
            "k": np.full((1, 3, 6, 5), 2000, np.float16),
            **parameters,
        },
        inputs="float16[n,3,6,5] x",
        outputs="float16[n,3,6,5] y",
    )

    after, _ = folded(proto, mode)

    for tensor in after.graph.initializer:
        assert np.isfinite(numpy_helper.to_array(tensor)).all()


def test_4_from_ir_4_on_what_the_caller_can_override_is_no_constant() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        {**WEIGHT, **norm(3)},
        inputs=f"{IMAGE}, double[3] bn_gamma",
        outputs=OUTPUT,
        ir_version=4,
    )

    assert "so the caller can override it" in kept_reason(proto)


def test_4_in_ir_3_all_initializers_are_inputs_and_constants() -> None:
    arrays = {**WEIGHT, **norm(3)}
    listed = (f"double[{','.join(map(str, a.shape))}] {name}" for name, a in arrays.items())
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        arrays,
        inputs=", ".join([IMAGE, *listed]),
        outputs=OUTPUT,
        opset=8,
        ir_version=3,
    )

    after, report = folded(proto)

    assert report.bn_after == 0
    assert [value.name for value in after.graph.input] == ["x"]


@pytest.mark.parametrize(
    "padded",
    [
        'y = Conv<auto_pad="SAME_UPPER">(a, w)',
        'y = Conv<auto_pad="SAME_LOWER">(a, w)',
        "y = Conv<pads=[0,0,1,0]>(a, w)",
        "b = Pad(a, p) y = Conv(b, w)",
    ],
)
def test_5_padding_by_any_name_bars_a_shift(padded: str) -> None:
    proto = model(
        f"{bn('x', 'a')} {padded}",
        {**WEIGHT, "p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), **norm(4)},
        inputs=IMAGE,
        outputs="double[n,3,h,k] y",
    )

    after, report = folded(proto, "safe")

    assert report.nodes[0].outcome == "kept"
    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT
    assert error_of_fold(proto, 2, 4, 6, 5) <= EXACT


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_6_a_constant_of_the_width_is_not_per_channel_though_they_are_as_many(
    shape: tuple[int, ...],
) -> None:
    """Three channels, an image of 3 x 3."""
    proto = model(
        "c = Conv(x, w) m = Mul(c, k) y = Add(m, k)",
        {**WEIGHT, "k": normal(*shape)},
        inputs="double[n,4,5,5] x",
        outputs="double[n,3,3,3] y",
    )

    after, report = folded(proto)

    assert op_types(after)[0] == "Conv"
    assert report.nodes[0].outcome in {"kept", "reduced"}
    assert difference(proto, after, normal(2, 4, 5, 5)) <= EXACT


@pytest.mark.parametrize("seconds", [norm(4), norm(4, seed=7)], ids=["same", "other"])
def test_7_a_convolution_that_is_called_twice_has_two_weights_afterwards(
    seconds: dict[str, Array],
) -> None:
    two = {name.replace("bn", "two"): array for name, array in seconds.items()}
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} r = Relu(d) e = Conv(r, w) {bn('e', prefix='two')}",
        {"w": normal(4, 4, 3, 3), **norm(4), **two},
        inputs="double[n,4,7,7] x",
        outputs="double[n,4,3,3] y",
    )

    assert error_after_fold(proto, 2, 4, 7, 7) <= EXACT


def test_8_the_name_of_the_new_bias_is_new() -> None:
    body = f"c = Conv(x, w) {bn('c', 'd')} s = Sigmoid(d) y = Mul(s, w_bias)"
    proto = conv_norm({"w_bias": normal(1, 3, 4, 3), **norm(3)}, body)

    after, _ = folded(proto)

    names = [one.name for one in after.graph.initializer]
    assert len(names) == len(set(names)) == 3
    assert error_after_fold(proto, 2, 4, 6, 5) <= EXACT


@pytest.mark.parametrize(
    "carried",
    [
        "v = Identity(bn_var)",
        "v = Constant<value = double[3] {1.0, 2.0, 0.5}>()",
        "s = Shape(bn_mean) o = CastLike(one, x) v = Expand(o, s)",
    ],
)
def test_9_parameters_behind_what_carries_them_are_found(carried: str) -> None:
    body = f"c = Conv(x, w) {carried} y = BatchNormalization(c, bn_gamma, bn_beta, bn_mean, v)"
    proto = conv_norm({"one": np.array(1), **norm(3)}, body)

    after, report = folded(proto)

    assert report.bn_after == 0
    x = {"x": normal(2, 4, 6, 5)}
    assert relative_error(reference(proto, x), reference(after, x)) <= EXACT


def test_10_spatial_0_and_is_test_0_are_refused_with_a_reason() -> None:
    body = "c = Conv(x, w) y = BatchNormalization{}(c, bn_gamma, bn_beta, bn_mean, bn_var)"
    positions = conv_norm(norm(3), body.format("<spatial=0>"), opset=7)
    training = conv_norm(norm(3), body.format(""), opset=6, ir_version=4)

    assert "spatial=0" in str(reason_unchecked(positions))
    assert "is_test=0" in str(reason_unchecked(training))


@pytest.mark.parametrize("mode", ["safe", "all"])
def test_10_before_opset_7_nothing_is_written_that_does_not_broadcast(mode: Mode) -> None:
    """Mul and Add aligned their operands by an attribute."""
    body = (
        f"c = Conv(x, w) {bn('c', 'd', attributes='<is_test=1>')} r = Relu(d) "
        f"{bn('r', attributes='<is_test=1>', prefix='two')}"
    )
    proto = conv_norm({**norm(3), **norm(3, prefix="two", seed=4)}, body, opset=6, ir_version=4)

    result = fold(proto, mode)

    assert [node.outcome for node in result.report.nodes] == ["folded_backward", "kept"]
    assert [node.op_type for node in result.model.graph.node] == [
        "Conv",
        "Relu",
        "BatchNormalization",
    ]
    assert [a.name for a in result.model.graph.node[-1].attribute] == ["is_test"]


@pytest.mark.parametrize(
    "body",
    [
        f"c = Conv(x, w) {bn('c', 'd')} s = Sigmoid(c) y = Add(d, s)",
        f"c = Conv(x, w) {bn('c', 'd')} y = Mul(d, c)",
    ],
)
def test_11_a_second_reader_of_the_convolution_reads_what_it_read(body: str) -> None:
    assert error_of_fold(conv_norm(norm(3), body), 2, 4, 6, 5) <= EXACT


def test_11_a_convolution_that_is_an_output_puts_out_what_it_put_out() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        {**WEIGHT, **norm(3)},
        inputs=IMAGE,
        outputs=f"{OUTPUT}, double[n,3,4,3] c",
    )

    assert "is an output of the graph" in kept_reason(proto)


def branching(inside: bool) -> onnx.ModelProto:
    """A batch norm in a branch, its convolution beside it or outside."""
    arrays = {"w": normal(2, 2, 1, dtype=np.float32), **norm(2, dtype=np.float32)}
    conv = helper.make_node("Conv", ["x", "w"], ["c"])
    normed = helper.make_node("BatchNormalization", ["c", *NAMES.split(", ")], ["t"])
    branches = {
        "then_branch": [conv, normed] if inside else [normed],
        "else_branch": [helper.make_node("Abs", ["x"], ["e"])],
    }
    graphs = {
        name: helper.make_graph(
            nodes, name, [], [helper.make_tensor_value_info(nodes[-1].output[0], 1, None)]
        )
        for name, nodes in branches.items()
    }
    choice = helper.make_node("If", ["flag"], ["y"], **graphs)
    graph = helper.make_graph(
        [choice] if inside else [conv, choice],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 5]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 5])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("inside", [True, False])
def test_11_a_batch_norm_in_a_branch_folds_into_what_is_in_it_alone(inside: bool) -> None:
    proto = branching(inside)

    after, report = folded(proto)

    assert report.bn_after == count(after, "BatchNormalization") == (0 if inside else 1)
    for flag in (True, False):
        feeds = {"x": normal(3, 2, 5, dtype=np.float32), "flag": np.array(flag)}
        # Float32 weights and one layer: some roundings of 6e-8.
        assert relative_error(run_float32(proto, feeds)[0], run_float32(after, feeds)[0]) <= 1e-6


def test_12_weights_are_rounded_once() -> None:
    """Half a unit in the last place each, as when float64 is rounded."""
    arrays = {"w": normal(3, 4, 3, 3, dtype=np.float32), **norm(3, dtype=np.float32)}
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} {bn('d', prefix='two')}",
        {**arrays, **norm(3, seed=5, dtype=np.float32, prefix="two")},
        inputs="float[n,4,6,5] x",
        outputs="float[n,3,4,3] y",
    )

    after, _ = folded(proto)

    scale = np.ones(3)
    wide = {
        one.name: numpy_helper.to_array(one).astype(np.float64) for one in proto.graph.initializer
    }
    for prefix in ("bn", "two"):
        eps = np.float64(np.float32(1e-5))
        scale = scale * wide[f"{prefix}_gamma"] / np.sqrt(wide[f"{prefix}_var"] + eps)
    (weight,) = (numpy_helper.to_array(one) for one in after.graph.initializer if one.name == "w")
    expected = wide["w"] * scale[:, None, None, None]
    assert np.array_equal(weight, expected.astype(np.float32))


def test_12_a_large_mean_over_a_small_variance_is_more_exact_folded_than_not() -> None:
    parameters = norm(3, dtype=np.float32)
    parameters["bn_mean"][:], parameters["bn_var"][:] = 300, 1e-4
    arrays = {
        "w": normal(3, 4, 3, 3, dtype=np.float32),
        **parameters,
        "b": np.full(3, 300, np.float32),
    }
    proto = model(
        f"c = Conv(x, w, b) {bn('c')}",
        arrays,
        inputs="float[n,4,6,5] x",
        outputs="float[n,3,4,3] y",
    )
    feeds = {"x": normal(2, 4, 6, 5, dtype=np.float32)}
    exact = evaluate(proto, feeds)

    after, _ = folded(proto)

    folded_error = relative_error(exact, run_float32(after, feeds)[0])
    assert folded_error <= relative_error(exact, run_float32(proto, feeds)[0])


@pytest.mark.parametrize("gamma", [0.0, 1e-30, 1e-9, 1e-4])
@pytest.mark.parametrize(
    "body",
    [
        f"c = Conv(x, v) {bn('c', 'a')} r = Relu(a) d = Conv(r, v) e = Add(c, d) y = Conv(e, v)",
        f"c = Conv(x, v) r = Relu(c) {bn('r', 'a')} y = Conv(a, v)",
        f"{bn('x', 'a')} r = Relu(a) y = Conv(r, v)",
        f"c = Conv(x, v) s = Sigmoid(c) {bn('s', 'a')} r = Relu(a) d = Concat<axis=1>(r, s) "
        "y = Conv(d, u)",
        f"{bn('x', 'a')} p = MaxPool<kernel_shape=[1,1]>(a) y = Conv<pads=[1,1,1,1]>(p, w)",
    ],
)
@pytest.mark.parametrize("mode", ["safe", "all"])
def test_13_a_gamma_of_zero_or_near_divides_nothing(gamma: float, body: str, mode: Mode) -> None:
    parameters = norm(4)
    parameters["bn_gamma"][[0, 2]] = gamma
    proto = model(
        body,
        {**WEIGHT, "v": normal(4, 4, 1, 1), "u": normal(4, 8, 1, 1), **parameters},
        inputs=IMAGE,
        outputs="double[n,m,h,k] y",
    )

    assert error_of_fold(proto, 2, 4, 6, 5, mode=mode) <= 100 * EXACT  # 16 times its size, thrice


@pytest.mark.parametrize("mode", ["safe", "all"])
def test_14_outputs_keep_their_names_order_and_shapes(mode: Mode) -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'first')} r = Relu(first) e = Conv<pads=[1,1,1,1]>(r, v) "
        f"a = Add(e, first) {bn('a', 'last', prefix='two')} i = Identity(last)",
        {**WEIGHT, "v": normal(3, 3, 3, 3), **norm(3), **norm(3, prefix="two", seed=3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] i, double[n,3,4,3] last, double[n,3,4,3] first, double[n,3,4,3] r",
    )

    after, _ = folded(proto, mode)

    assert list(after.graph.input) == list(proto.graph.input)
    assert list(after.graph.output) == list(proto.graph.output)
    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT


@pytest.mark.parametrize("factors", ["alpha=0.3", "beta=-1.7", "alpha=2.5,beta=0.4"])
@pytest.mark.parametrize("turned", ["transB=0", "transB=1", "transA=1,transB=0"])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (1, 1)])
def test_15_a_gemm_folds_with_its_factors_and_whatever_shape_its_bias_has(
    factors: str, turned: str, shape: tuple[int, ...]
) -> None:
    weight = normal(3, 4) if "transB=1" in turned else normal(4, 3)
    size = (4, 5) if "transA" in turned else (5, 4)
    proto = model(
        f"c = Gemm<{factors},{turned}>(x, w, b) {bn('c')}",
        {"w": weight, "b": normal(*shape), **norm(3)},
        inputs=f"double[{size[0]},{size[1]}] x",
        outputs="double[5,3] y",
    )

    assert error_after_fold(proto, *size) <= EXACT


def test_15_a_bias_that_differs_from_row_to_row_is_refused() -> None:
    proto = model(
        f"c = Gemm(x, w, b) {bn('c')}",
        {"w": normal(4, 3), "b": normal(5, 1), **norm(3)},
        inputs="double[5,4] x",
        outputs="double[5,3] y",
    )

    assert "has shape [5, 1], not one number for each of 3 outputs" in kept_reason(proto)
