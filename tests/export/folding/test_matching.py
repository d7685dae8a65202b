"""Which batch norms are recognised, where their parameters may stand, and what is refused."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from export.folding import fold
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
    reason_unchecked,
    reference,
)
from tests.export.oracle import evaluate

INPUT, OUTPUT = "double[n,2,4] x", "double[n,3,k] y"
ARRAYS = {"w": normal(3, 2, 2), **norm(3)}


def after_conv(
    batch_norm: str, arrays: dict[str, Array] = ARRAYS, **options: Any
) -> onnx.ModelProto:
    return model(f"c = Conv(x, w) {batch_norm}", arrays, inputs=INPUT, outputs=OUTPUT, **options)


def test_a_batch_norm_in_training_mode_is_left() -> None:
    names = "bn_gamma, bn_beta, bn_mean, bn_var"
    proto = after_conv(f"y, m, v = BatchNormalization<training_mode=1>(c, {names})")

    assert kept_reason(proto) == (
        "training_mode=1: it normalises with the statistics of each batch"
    )


def test_one_that_puts_out_statistics_is_left() -> None:
    names = "bn_gamma, bn_beta, bn_mean, bn_var"
    proto = after_conv(f"y, m, v, s, t = BatchNormalization(c, {names})", opset=9)

    assert (
        reason_unchecked(proto) == "it also puts out statistics, as a batch norm in training does"
    )


def test_one_that_differs_from_position_to_position_is_left() -> None:
    proto = after_conv(bn("c", attributes="<spatial=0>"), opset=7)

    assert reason_unchecked(proto) == "spatial=0: its parameters differ from position to position"
    assert reason_unchecked(after_conv(bn("c", attributes="<spatial=1>"), opset=7)) is None


def test_in_opset_6_it_folds_only_as_a_test() -> None:
    old: dict[str, Any] = {"opset": 6, "ir_version": 4}

    assert reason_unchecked(after_conv(bn("c", attributes="<is_test=1>"), **old)) is None
    assert str(reason_unchecked(after_conv(bn("c"), **old))).startswith("is_test=0")


@pytest.mark.parametrize("opset", [7, 9, 14, 15, 18, 21])
def test_every_opset_that_onnx_runtime_loads_folds(opset: int) -> None:
    proto = after_conv(bn("c"), opset=opset)

    after, report = folded(proto)

    feeds = {"x": normal(3, 2, 4)}
    assert report.bn_after == 0
    assert np.allclose(evaluate(after, feeds), evaluate(proto, feeds), rtol=0, atol=EXACT)


def test_epsilon_is_read() -> None:
    for attributes in ("", "<epsilon=0.5>"):
        proto = after_conv(bn("c", attributes=attributes))
        after, _ = folded(proto)
        feeds = {"x": normal(3, 2, 4)}
        assert np.allclose(evaluate(after, feeds), evaluate(proto, feeds), rtol=0, atol=EXACT)


@pytest.mark.parametrize(
    "carried",
    [
        "v = Identity(bn_var)",
        "i = Identity(bn_var) v = Identity(i)",
        "v = Cast<to=11>(bn_var)",
        "v = CastLike(bn_var, x)",
        "s = Shape(bn_var) v = Expand(bn_var, s)",
        "v = Transpose(bn_var)",
        "s = Shape(bn_var) v = ConstantOfShape<value = double[1] {2.0}>(s)",
        "s = Shape(bn_var) f = ConstantOfShape(s) v = Cast<to=11>(f)",
        "v = Transpose<perm=[0]>(bn_var)",
        "v = Constant<value_floats=[1.0, 2.0, 0.5]>() ",
    ],
)
def test_parameters_behind_what_only_carries_them_are_found(carried: str) -> None:
    names = "bn_gamma, bn_beta, bn_mean, v"
    if "value_floats" in carried:
        carried = carried.replace("v =", "f =") + "v = Cast<to=11>(f)"
    proto = after_conv(f"{carried} y = BatchNormalization(c, {names})")

    _, report = folded(proto)

    assert report.bn_after == 0
    assert evaluates_alike(proto)


def evaluates_alike(proto: onnx.ModelProto) -> bool:
    """Whether the fold changed nothing, by ONNX's own reference implementation."""
    after, _ = folded(proto)
    feeds = {"x": normal(3, 2, 4)}
    return bool(np.allclose(reference(proto, feeds), reference(after, feeds), rtol=0, atol=EXACT))


def test_the_gamma_of_an_exporter_without_one_is_found() -> None:
    """PyTorch writes BatchNorm(affine=False) so: ``Expand(CastLike(1, x), Shape(mean))``."""
    proto = after_conv(
        "one = CastLike(i, x) s = Shape<start=0,end=1>(bn_mean) g = Expand(one, s) "
        "y = BatchNormalization(c, g, bn_beta, bn_mean, bn_var)",
        {**ARRAYS, "i": np.array(1, np.int64)},
    )

    assert folded(proto)[1].bn_after == 0
    assert evaluates_alike(proto)


def test_a_parameter_like_a_value_of_unknown_type_is_left() -> None:
    node = "u = com.example.Unknown(x) v = CastLike(bn_var, u)"
    proto = after_conv(f"{node} y = BatchNormalization(c, bn_gamma, bn_beta, bn_mean, v)")
    proto.opset_import.append(helper.make_opsetid("com.example", 1))

    assert str(reason_unchecked(proto)) == (
        "its running variance has an unknown type, behind CastLike 'v'"
    )


def test_computed_parameters_are_left_and_the_node_named() -> None:
    names = "bn_gamma, bn_beta, bn_mean, v"
    proto = after_conv(f"v = Abs(bn_var) y = BatchNormalization(c, {names})")

    assert kept_reason(proto) == "its running variance is computed in the graph, by Abs 'v'"


def test_missing_statistics_are_left() -> None:
    proto = after_conv(bn("c"))
    batch_norm = proto.graph.node[-1]
    batch_norm.input[3] = ""

    assert reason_unchecked(proto) == "its running mean is missing"
    del batch_norm.input[4:]
    assert reason_unchecked(proto) == "its running mean is missing"


def test_statistics_that_are_inputs_are_left() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        {name: array for name, array in ARRAYS.items() if name != "bn_mean"},
        inputs=f"{INPUT}, double[3] bn_mean",
        outputs=OUTPUT,
    )

    assert kept_reason(proto) == (
        "its running mean 'bn_mean' is an input of the graph, not a constant"
    )


@pytest.mark.parametrize("name", ["bn_gamma", "w"])
def test_from_ir_4_on_an_initializer_that_is_an_input_can_be_overridden(name: str) -> None:
    shape = "double[3]" if name == "bn_gamma" else "double[3,2,2]"
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        ARRAYS,
        inputs=f"{INPUT}, {shape} {name}",
        outputs=OUTPUT,
        ir_version=4,
    )

    assert kept_reason(proto).endswith(f"'{name}' is also an input, so the caller can override it")


def test_in_ir_3_every_initializer_is_an_input_and_a_constant() -> None:
    shapes = {name: ",".join(map(str, array.shape)) for name, array in ARRAYS.items()}
    listed = ", ".join(f"double[{shape}] {name}" for name, shape in shapes.items())
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        ARRAYS,
        inputs=f"{INPUT}, {listed}",
        outputs=OUTPUT,
        opset=8,
        ir_version=3,
    )

    after, report = folded(proto)

    assert report.bn_after == 0
    assert [value.name for value in after.graph.input] == ["x"]
    feeds = {"x": normal(3, 2, 4)}
    assert np.allclose(evaluate(after, feeds), evaluate(proto, feeds), rtol=0, atol=EXACT)


def test_a_parameter_that_is_not_one_number_a_channel_is_left() -> None:
    """A [3,1] tensor is not per channel, though it holds as many numbers."""
    proto = after_conv(bn("c"), {**ARRAYS, "bn_beta": normal(3, 1)})

    assert reason_unchecked(proto) == "its beta has shape [3, 1], not one number a channel"


def test_a_negative_variance_is_left() -> None:
    proto = after_conv(bn("c"), {**ARRAYS, "bn_var": np.array([1.0, -1.0, 1.0])})

    assert "running variance + epsilon" in kept_reason(proto)


def test_a_constant_of_text_is_no_parameter() -> None:
    proto = after_conv(
        'v = Constant<value_strings=["a"]>() '
        "y = BatchNormalization(c, bn_gamma, bn_beta, bn_mean, v)"
    )

    assert reason_unchecked(proto) == "a constant holds no numbers"


def test_a_batch_norm_of_another_domain_is_none() -> None:
    proto = model(
        "c = Conv(x, w) y = com.example.BatchNormalization(c)",
        {"w": normal(3, 2, 2)},
        inputs=INPUT,
        outputs=OUTPUT,
    )
    proto.opset_import.append(helper.make_opsetid("com.example", 1))

    assert fold(ir.from_proto(proto)).bn_before == 0
    assert count(proto, "BatchNormalization") == 1
