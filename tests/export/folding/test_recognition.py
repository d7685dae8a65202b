"""Which affines are recognised, where their parameters may stand, and what is refused."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from export.folding import fold
from export.folding.draft import AffineSite
from export.folding.recognition import chains
from tests.export.folding.sandwiches import with_shape
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
    relative_error,
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

    assert f"'{name}' is also an input, so the caller can override it" in kept_reason(proto)


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

    assert fold(proto, "safe").report.bn_before == 0
    assert count(proto, "BatchNormalization") == 1


def chain(body: str, arrays: dict[str, Array], size: str = "n,4,6,5") -> onnx.ModelProto:
    return model(body, arrays, inputs=f"double[{size}] x", outputs=f"double[{size}] y")


def sites_of(proto: onnx.ModelProto) -> list[AffineSite]:
    graph = ir.from_proto(onnx.shape_inference.infer_shapes(proto)).graph
    return list(chains(iter(graph), 17))


@pytest.mark.parametrize(
    ("operator", "scale", "shift"),
    [
        ("Mul(x, k)", 4.0, 0.0),
        ("Mul(k, x)", 4.0, 0.0),
        ("Add(x, k)", 1.0, 4.0),
        ("Add(k, x)", 1.0, 4.0),
        ("Sub(x, k)", 1.0, -4.0),
        ("Sub(k, x)", -1.0, 4.0),
        ("Div(x, k)", 0.25, 0.0),
    ],
)
def test_an_operator_with_a_constant_is_an_affine(
    operator: str, scale: float, shift: float
) -> None:
    (site,) = sites_of(chain(f"y = {operator}", {"k": np.array(4.0)}))

    assert (site.affine.scale.item(), site.affine.shift.item()) == (scale, shift)


def test_what_follows_with_nothing_between_is_one_affine() -> None:
    proto = chain(
        f"m = Sub(x, k) n = Mul(m, s) {bn('n')}",
        {"k": normal(4, 1, 1), "s": np.array(2.0), **norm(4)},
    )

    (site,) = sites_of(proto)

    assert [node.op_type for node in site.nodes] == ["Sub", "Mul", "BatchNormalization"]
    x = normal(2, 4, 6, 5)
    expected = evaluate(proto, {"x": x})
    assert np.abs(site.affine(x) - expected).max() <= EXACT * np.abs(expected).max()


def test_what_has_another_reader_between_is_two() -> None:
    proto = chain("m = Mul(x, k) a = Add(m, k) y = Mul(a, m)", {"k": np.array(2.0)})

    assert len(sites_of(proto)) == 2


@pytest.mark.parametrize(
    ("operator", "arrays"),
    [
        ("Mul(x, x)", {}),
        ("Mul(k, k)", {"k": normal(2, 4, 6, 5)}),
        ("Div(k, x)", {"k": np.array(2.0)}),
        ("Div(x, k)", {"k": np.array(0.0)}),
        ("Div(x, k)", {"k": np.array(1e-310)}),
        ("Mul(x, k)", {"k": np.array(np.inf)}),
        ("Add(x, k)", {"k": np.array(np.nan)}),
        ("Pow(x, k)", {"k": np.array(2.0)}),
    ],
)
def test_what_is_no_affine(operator: str, arrays: dict[str, Array]) -> None:
    assert sites_of(chain(f"y = {operator}", arrays)) == []


@pytest.mark.parametrize("shape", [(2, 4, 6, 5), (1, 1, 4, 6, 5)])
def test_a_constant_that_makes_its_tensor_larger_is_none(shape: tuple[int, ...]) -> None:
    proto = model(
        "y = Mul(x, k)", {"k": normal(*shape)}, inputs="double[1,4,6,5] x", outputs="double y"
    )

    assert sites_of(with_shape(proto)) == []


def test_integers_are_no_affine() -> None:
    proto = model("y = Mul(x, k)", {"k": np.array(2)}, inputs="int64[n] x", outputs="int64[n] y")

    assert sites_of(proto) == []


def test_a_constant_of_the_last_axis_is_not_per_channel_though_it_is_as_long() -> None:
    """A [W] tensor, where W is C."""
    proto = model(
        "c = Conv(x, w) y = Mul(c, k)",
        {"w": normal(5, 4, 1, 1), "k": normal(5)},
        inputs="double[n,4,6,5] x",
        outputs="double[n,5,6,5] y",
    )

    (site,) = sites_of(proto)
    assert site.affine.scale.shape == (1, 1, 1, 5)
    after, report = folded(proto)
    assert report.nodes[0].outcome == "kept"
    x = normal(2, 4, 6, 5)
    assert np.array_equal(evaluate(after, {"x": x}), evaluate(proto, {"x": x}))


def test_a_chain_of_channels_last_folds_as_keras_writes_it() -> None:
    proto = chain(
        "t = Transpose<perm=[0,3,1,2]>(x) c = Conv(t, w) u = Transpose<perm=[0,2,3,1]>(c) "
        "m = Mul(u, s) y = Add(m, b)",
        {"w": normal(4, 4, 1, 1), "s": normal(4), "b": normal(4, seed=2)},
        "n,6,5,4",
    )

    after, report = folded(proto, "safe")

    assert [node.outcome for node in report.nodes] == ["folded_backward"]
    assert report.affines_before == 1
    assert report.affines_after == 0
    x = normal(2, 6, 5, 4)
    assert relative_error(evaluate(proto, {"x": x}), evaluate(after, {"x": x})) <= EXACT


def test_before_opset_7_only_batch_norms_are_affines() -> None:
    proto = model(
        "y = Mul(x, k)", {"k": normal(4)}, inputs="double[4] x", outputs="double[4] y", opset=6
    )

    graph = ir.from_proto(proto).graph

    assert list(chains(iter(graph), 6)) == []


def test_a_batch_norm_of_one_axis_is_left() -> None:
    """ONNX allows it, for one channel; nothing could be per channel there."""
    proto = model(bn("x"), norm(1), inputs="double[n] x", outputs="double[n] y")

    assert "channels" in str(reason_unchecked(proto))


def test_the_typical_size_of_what_a_chain_reads_is_guessed_from_its_scales() -> None:
    """What leaves it is near 1; a scale far below the others is a dead channel."""
    scales = np.array([0.5, 0.5, 1e-9, -0.5])[:, None, None]
    (site,) = sites_of(chain("y = Mul(x, k)", {"k": scales}))

    assert site.deviation.ravel().tolist() == [2.0, 2.0, 8.0, 2.0]
    assert not site.mean.any()


def test_what_a_batch_norm_normalised_is_known_in_front_of_the_affine_before_it() -> None:
    given = {"k": np.array(4.0), **norm(4)}
    (site,) = sites_of(chain(f"m = Mul(x, k) {bn('m')}", given))

    assert np.allclose(site.mean.ravel(), given["bn_mean"] / 4, rtol=EXACT)
    assert np.allclose(site.deviation.ravel(), np.sqrt(given["bn_var"] + 1e-5) / 4, rtol=1e-9)


def test_but_not_in_front_of_a_zero() -> None:
    (site,) = sites_of(chain(f"m = Mul(x, k) {bn('m')}", {"k": np.array(0.0), **norm(4)}))

    assert np.isfinite(site.deviation).all()
