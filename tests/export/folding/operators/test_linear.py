"""How every linear operator absorbs a batch norm, and which of them it refuses."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.export.folding.sandwiches import in_front, outcome, parameters
from tests.export.graphs import (
    EXACT,
    IMAGE,
    WEIGHT,
    Array,
    bn,
    folded,
    kept_reason,
    model,
    norm,
    normal,
    op_types,
    reason_unchecked,
    reference,
)
from tests.export.oracle import difference, error_after_fold, evaluate


def test_a_convolution_without_a_bias_gets_one() -> None:
    proto = model(
        f"c = Conv<pads=[1,1,1,1]>(x, w) {bn('c')}",
        {**WEIGHT, **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,6,5] y",
    )

    assert error_after_fold(proto, 2, 4, 6, 5) <= EXACT


def test_a_wrong_eps_would_be_noticed() -> None:
    arrays = {**WEIGHT, **norm(3)}
    right, wrong = (
        model(
            f"c = Conv(x, w) {bn('c', attributes=f'<epsilon={eps}>')}",
            arrays,
            inputs=IMAGE,
            outputs="double[n,3,4,3] y",
        )
        for eps in ("0.001", "0.00101")
    )
    feeds = {"x": normal(2, 4, 6, 5)}

    after, _ = folded(wrong)

    expected = evaluate(right, feeds)
    error = np.abs(evaluate(after, feeds) - expected).max() / np.abs(expected).max()
    assert error > 1e3 * EXACT


@pytest.mark.parametrize(
    ("body", "weight", "size", "output"),
    [
        ("Conv<pads=[2,0],strides=[2],dilations=[2]>(x, w, b)", (3, 4, 3), (9,), "double[n,3,k]"),
        ("Conv<group=2>(x, w, b)", (3 * 2, 2, 3, 2), (5, 6), "double[n,6,k,l]"),
        ("Conv<group=4>(x, w, b)", (4, 1, 3, 3), (5, 6), "double[n,4,k,l]"),
        ('Conv<auto_pad="SAME_UPPER">(x, w, b)', (3, 4, 1, 1), (5, 6), "double[n,3,k,l]"),
        ("Conv(x, w, b)", (3, 4, 2, 2, 2), (4, 3, 5), "double[n,3,k,l,m]"),
        ("ConvTranspose<strides=[2]>(x, w, b)", (4, 3, 3), (7,), "double[n,3,k]"),
        (
            "ConvTranspose<strides=[2,3],output_padding=[1,0],dilations=[1,2],pads=[1,0,1,0]>(x,w,b)",
            (4, 3, 3, 2),
            (5, 6),
            "double[n,3,k,l]",
        ),
        ("ConvTranspose<group=2>(x, w, b)", (4, 3, 3, 3), (5, 6), "double[n,6,k,l]"),
        ("ConvTranspose<group=4>(x, w, b)", (4, 1, 3, 3), (5, 6), "double[n,4,k,l]"),
        ("ConvTranspose(x, w, b)", (4, 2, 2, 2, 2), (3, 3, 3), "double[n,2,k,l,m]"),
    ],
)
def test_every_kind_of_convolution_takes_its_batch_norm(
    body: str, weight: tuple[int, ...], size: tuple[int, ...], output: str
) -> None:
    groups = {"group=2": 2, "group=4": 4}.get(body[body.find("group=") :][:7], 1)
    channels = (
        weight[0] if body.startswith("Conv<") or "Transpose" not in body else weight[1] * groups
    )
    free = ",".join(str(n) for n in size)
    proto = model(
        f"c = {body} {bn('c')}",
        {"w": normal(*weight), "b": normal(channels), **norm(channels)},
        inputs=f"double[n,4,{free}] x",
        outputs=f"{output} y",
    )

    assert error_after_fold(proto, 2, 4, *size) <= EXACT


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("shape", [None, (), (1,), (1, 1), (3,), (1, 3)])
@pytest.mark.parametrize("attributes", ["", "alpha=0.3", "beta=-1.7", "alpha=2.5,beta=0.4"])
def test_a_gemm_takes_its_batch_norm(
    transposed: int, shape: tuple[int, ...] | None, attributes: str
) -> None:
    weight = normal(3, 4) if transposed else normal(4, 3)
    bias = {} if shape is None else {"b": normal(*shape)}
    given = ",".join(filter(None, [attributes, f"transB={transposed}"]))
    proto = model(
        f"c = Gemm<{given}>(x, w{', b' if bias else ''}) {bn('c')}",
        {"w": weight, **bias, **norm(3)},
        inputs="double[n,4] x",
        outputs="double[n,3] y",
    )

    assert error_after_fold(proto, 5, 4) <= EXACT


def test_a_gemm_that_transposes_its_data_goes_on_doing_so() -> None:
    proto = model(
        f"c = Gemm<transA=1>(x, w) {bn('c')}",
        {"w": normal(4, 3), **norm(3)},
        inputs="double[4,n] x",
        outputs="double[n,3] y",
    )

    assert error_after_fold(proto, 4, 5) <= EXACT


@pytest.mark.parametrize("shape", [(5, 1), (5, 3)])
def test_a_gemm_whose_bias_differs_from_row_to_row_is_left(shape: tuple[int, ...]) -> None:
    proto = model(
        f"c = Gemm(x, w, b) {bn('c')}",
        {"w": normal(4, 3), "b": normal(*shape), **norm(3)},
        inputs="double[5,4] x",
        outputs="double[5,3] y",
    )

    assert "not one number for each of 3 outputs" in kept_reason(proto)


@pytest.mark.parametrize(
    ("added", "shape"),
    [(None, ()), ("m, b", (3,)), ("b, m", (3,)), ("m, b", (1, 3)), ("m, b", ()), ("m, b", (1,))],
)
def test_a_matrix_product_with_its_bias_becomes_one_gemm(
    added: str | None, shape: tuple[int, ...]
) -> None:
    add = f"c = Add({added})" if added else "c = Identity(m)"
    proto = model(
        f"m = MatMul(x, w) {add} {bn('c')}",
        {"w": normal(4, 3), "b": normal(*shape), **norm(3)},
        inputs="double[n,4] x",
        outputs="double[n,3] y",
    )

    after, _ = folded(proto)

    assert op_types(after) == ["Gemm"]
    assert error_after_fold(proto, 5, 4) <= EXACT


def test_a_matrix_product_of_three_axes_is_left_since_its_channels_come_last() -> None:
    proto = model(
        f"m = MatMul(x, w) {bn('m')}",
        {"w": normal(4, 3), **norm(3)},
        inputs="double[n,3,4] x",
        outputs="double[n,3,3] y",
    )

    assert "MatMul 'm' works along axis 2" in kept_reason(proto)


def test_a_matrix_product_of_unknown_rank_is_left() -> None:
    proto = model(
        f"r = Reshape(x, s) m = MatMul(r, w) {bn('m', 'z')} y = Reshape(z, t)",
        {"w": normal(4, 3), "t": np.array([-1]), **norm(3)},
        inputs="double[n,4] x, int64[k] s",
        outputs="double[m] y",
    )

    assert kept_reason(proto) == "the rank of 'm' is not known"


def test_a_constant_on_the_left_of_a_matrix_product_is_left() -> None:
    proto = model(
        f"m = MatMul(w, x) {bn('m')}",
        {"w": normal(3, 3), **norm(4)},
        inputs="double[3,4] x",
        outputs="double[3,4] y",
    )

    assert "MatMul 'm' has its constant matrix on the left" in kept_reason(proto)


@pytest.mark.parametrize(
    ("inputs", "weight", "output"),
    [
        ("double[n,3,4] x", (4,), "double[n,3] y"),
        ("double[3] x", (2, 3, 3), "double[2,3] y"),
    ],
    ids=["a vector", "a stack"],
)
def test_a_product_with_what_is_not_one_matrix_is_left(
    inputs: str, weight: tuple[int, ...], output: str
) -> None:
    """Its output may have two axes all the same, with the channels on the second."""
    proto = model(
        f"m = MatMul(x, w) {bn('m')}",
        {"w": normal(*weight), **norm(3)},
        inputs=inputs,
        outputs=output,
    )

    assert f"the weight of MatMul 'm' has {len(weight)} axes" in kept_reason(proto)


@pytest.mark.parametrize("shape", [(5, 1), (5, 3)])
def test_a_constant_for_each_row_stays_behind_the_matrix_product(shape: tuple[int, ...]) -> None:
    proto = model(
        f"m = MatMul(x, w) c = Add(m, b) {bn('c')}",
        {"w": normal(4, 3), "b": normal(*shape), **norm(3)},
        inputs="double[5,4] x",
        outputs="double[5,3] y",
    )

    after, _ = folded(proto)

    assert op_types(after) == ["MatMul", "Add"]
    assert difference(proto, after, normal(5, 4)) <= EXACT


@pytest.mark.parametrize("rank", [3, 4])
def test_a_matrix_product_of_more_axes_keeps_a_bias_as_its_own_operator(rank: int) -> None:
    """The affine is a chain: a batch norm would work along the second axis."""
    shape = (2, 5, 6, 4)[-rank:]
    proto = model(
        "m = MatMul(x, w) q = Mul(m, s) y = Add(q, t)",
        {"w": normal(4, 3), "s": normal(3), "t": normal(3, seed=2)},
        inputs=f"double[{','.join(map(str, shape))}] x",
        outputs=f"double[{','.join(map(str, (*shape[:-1], 3)))}] y",
    )

    after, report = folded(proto, "safe")

    assert report.affines_after == 0 or op_types(after) == ["MatMul", "Add"]
    assert difference(proto, after, normal(*shape)) <= EXACT


@pytest.mark.parametrize(
    ("operator", "weight"),
    [
        ("Conv(b, w)", (3, 4, 2, 2)),
        ("Conv<group=2>(b, w)", (6, 2, 1, 3)),
        ("Conv<group=4,strides=[2,1]>(b, w)", (4, 1, 2, 1)),
        ("Conv<dilations=[2,2]>(b, w, c)", (3, 4, 2, 2)),
        ('Conv<auto_pad="VALID",pads=[0,0,0,0]>(b, w)', (3, 4, 2, 2)),
        ('Conv<auto_pad="SAME_UPPER">(b, w)', (3, 4, 1, 1)),
    ],
)
def test_an_unpadded_convolution_takes_the_batch_norm_in_front(
    operator: str, weight: tuple[int, ...]
) -> None:
    proto = in_front("b = Identity(a)", {"c": normal(3)}, linear=operator, weight=weight)

    result = outcome(proto)

    assert (result.how, result.left) == ("folded_forward", ["Conv"])


PADDED = ["pads=[1,1,1,1]", "pads=[0,0,0,1]", 'auto_pad="SAME_UPPER"', 'auto_pad="SAME_LOWER"']


@pytest.mark.parametrize("pads", PADDED)
def test_behind_zeros_a_convolution_takes_scales_alone(pads: str) -> None:
    given: dict[str, Any] = {"linear": f"Conv<{pads}>(b, w)", "weight": (3, 4, 3, 3)}
    scales, shifts = parameters(shifts=False), parameters()

    taken = outcome(in_front("b = Identity(a)", of=scales, **given))
    kept = outcome(in_front("b = Identity(a)", of=shifts, **given))

    assert taken.how == "folded_forward"
    assert kept.how == "kept"
    assert "Conv 'y' pads its input with zeros, which a shift would move" in kept.reason
    assert kept.entry.blocked_by[-1] == "y"


def test_what_is_left_in_front_of_a_padded_convolution_is_one_add() -> None:
    proto = in_front("b = Identity(a)", linear=f"Conv<{PADDED[0]}>(b, w)", weight=(3, 4, 3, 3))

    result = outcome(proto, "all")

    assert (result.how, result.left) == ("reduced", ["Add", "Conv"])
    assert "pads its input with zeros" in result.reason


@pytest.mark.parametrize("operator", ["ConvTranspose(b, w)", "ConvTranspose<strides=[2,2]>(b, w)"])
def test_a_transposed_convolution_takes_scales_in_front_alone(operator: str) -> None:
    given: dict[str, Any] = {"linear": operator, "weight": (4, 3, 2, 2)}

    taken = outcome(in_front("b = Identity(a)", of=parameters(shifts=False), **given))
    kept = outcome(in_front("b = Identity(a)", **given))

    assert taken.how == "folded_forward"
    assert "ConvTranspose 'y' spreads its input" in kept.reason


def test_a_grouped_transposed_convolution_takes_scales_in_front() -> None:
    proto = in_front(
        "b = Identity(a)",
        of=parameters(shifts=False),
        linear="ConvTranspose<group=2>(b, w)",
        weight=(4, 3, 2, 2),
    )

    assert outcome(proto).how == "folded_forward"


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("factors", ["", ",alpha=0.5", ",alpha=2.0,beta=-3.0"])
@pytest.mark.parametrize("bias", [None, (), (3,), (1, 3)])
def test_a_gemm_takes_the_batch_norm_in_front(
    transposed: int, factors: str, bias: tuple[int, ...] | None
) -> None:
    proto = in_front(
        "b = Identity(a)",
        {} if bias is None else {"c": normal(*bias)},
        size=(4,),
        linear=f"Gemm<transB={transposed}{factors}>(b, w{'' if bias is None else ', c'})",
        weight=(3, 4) if transposed else (4, 3),
    )

    assert outcome(proto).left == ["Gemm"]


def test_a_gemm_that_transposes_its_data_takes_a_batch_norm_of_its_rows() -> None:
    proto = model(
        f"{bn('x', 'a')} b = Transpose(a) d = Relu(b) e = Gemm<transA=1>(d, w) y = Sigmoid(e)",
        {"w": normal(4, 3), **parameters("positive", shifts=False)},
        inputs="double[5,4] x",
        outputs="double[5,3] y",
    )

    assert outcome(proto).how == "folded_forward"


@pytest.mark.parametrize("rank", [2, 3])
def test_a_matrix_product_takes_an_affine_of_its_last_axis_in_front(rank: int) -> None:
    shape = (2, 5, 4)[-rank:]
    proto = model(
        "q = Mul(x, s) a = Add(q, t) m = MatMul(a, w) y = Sigmoid(m)",
        {"w": normal(4, 3), "s": normal(4), "t": normal(4, seed=2)},
        inputs=f"double[{','.join(map(str, shape))}] x",
        outputs=f"double[{','.join(map(str, (*shape[:-1], 3)))}] y",
    )

    after, report = folded(proto, "safe")

    assert report.nodes[0].outcome == "folded_forward"
    assert op_types(after) == (["Gemm"] if rank == 2 else ["MatMul", "Add"]) + ["Sigmoid"]
    assert difference(proto, after, normal(*shape)) <= EXACT


def test_a_weight_of_unknown_type_of_data_is_left() -> None:
    proto = model(
        f"u = com.example.Unknown(x) c = Conv(u, w) {bn('c')}",
        {"w": normal(3, 4, 1, 1), **norm(3)},
        inputs="double[n,4,6,5] x",
        outputs="double[n,3,6,5] y",
    )
    proto.opset_import.append(helper.make_opsetid("com.example", 1))

    assert reason_unchecked(proto) is not None


@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose", "Gemm"])
def test_a_computed_weight_is_left(operator: str) -> None:
    flat = operator == "Gemm"
    weight = normal(4, 4) if flat else normal(4, 4, 1, 1)
    proto = model(
        f"v = Abs(w) c = {operator}(x, v) {bn('c')}",
        {"w": weight, **norm(4)},
        inputs="double[n,4] x" if flat else IMAGE,
        outputs="double[n,4] y" if flat else "double[n,4,6,5] y",
    )

    reason = kept_reason(proto)

    assert f"the weight of {operator} 'c' is computed in the graph, by Abs 'v'" in reason


def test_a_bias_that_is_an_input_is_left() -> None:
    proto = model(
        f"c = Conv(x, w, b) {bn('c')}",
        {**WEIGHT, **norm(3)},
        inputs=f"{IMAGE}, double[3] b",
        outputs="double[n,3,4,3] y",
    )

    assert "bias of Conv 'c' 'b' is an input" in kept_reason(proto)


def test_a_batch_norm_of_other_channels_than_the_operator_is_left() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        {**WEIGHT, **norm(1)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )
    ours = reason_unchecked(proto)

    assert ours == "its parameters are for 1 channels, its input has others"


def test_zero_gammas_fold() -> None:
    parameters = norm(3)
    parameters["bn_gamma"] *= np.array([0.0, 1.0, 0.0])
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        {**WEIGHT, **parameters},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    assert error_after_fold(proto, 2, 4, 6, 5) <= EXACT


def float16_model(weight: Array, parameters: dict[str, Array]) -> onnx.ModelProto:
    return model(
        f"c = Conv(x, w) {bn('c')}",
        {"w": weight, **parameters},
        inputs="float16[n,4,6,5] x",
        outputs="float16[n,3,4,3] y",
    )


def test_a_float16_convolution_with_a_float32_batch_norm_stays_float16() -> None:
    proto = float16_model(normal(3, 4, 3, 3, dtype=np.float16), norm(3, dtype=np.float32))

    after, report = folded(proto)

    assert report.bn_after == 0
    assert {one.data_type for one in after.graph.initializer} == {TensorProto.FLOAT16}


def test_float16_weights_are_rounded_once() -> None:
    weight, parameters = normal(3, 4, 3, 3, dtype=np.float16), norm(3, dtype=np.float32)

    after, _ = folded(float16_model(weight, parameters))

    wide = {name: array.astype(np.float64) for name, array in parameters.items()}
    scale = wide["bn_gamma"] / np.sqrt(wide["bn_var"] + np.float64(np.float32(1e-5)))
    expected = (weight.astype(np.float64) * scale[:, None, None, None]).astype(np.float16)
    (found,) = (one for one in after.graph.initializer if one.name == "w")
    assert np.array_equal(onnx.numpy_helper.to_array(found), expected)


@pytest.mark.parametrize(("gamma", "word"), [(1e6, "times its size"), (1e-7, "times its size")])
def test_a_float16_weight_that_would_leave_its_range_is_left(gamma: float, word: str) -> None:
    parameters = norm(3, dtype=np.float32)
    parameters["bn_gamma"][:] = gamma
    proto = float16_model(normal(3, 4, 3, 3, dtype=np.float16), parameters)

    assert word in kept_reason(proto)


def test_bfloat16_folds() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        norm(3, dtype=np.float32),
        inputs="bfloat16[n,4,6,5] x",
        outputs="bfloat16[n,3,4,3] y",
        opset=22,
        ir_version=10,
    )
    proto.graph.initializer.append(
        helper.make_tensor("w", TensorProto.BFLOAT16, (3, 4, 3, 3), normal(3 * 4 * 9).tolist())
    )

    _, report = folded(proto)

    assert report.bn_after == 0


@pytest.mark.parametrize("body", ["Gemm(x, w, b)", "MatMul(x, w)"])
def test_matrix_products_of_old_opsets_are_left(body: str) -> None:
    """They do not broadcast a bias there."""
    attributes = "<is_test=1>"
    proto = model(
        f"c = {body} {bn('c', attributes=attributes)}",
        {"w": normal(4, 3), "b": normal(1, 3), **norm(3)},
        inputs="double[2,4] x",
        outputs="double[2,3] y",
        opset=6,
        ir_version=4,
    )

    assert "opset older than 7" in str(reason_unchecked(proto))


@pytest.mark.parametrize("carried", ["v = Transpose(w)", "u = Identity(w) v = Transpose(u)"])
def test_a_weight_behind_what_only_carries_it_folds(carried: str) -> None:
    """Older exporters of PyTorch write Linear so: MatMul with a transposed weight."""
    proto = model(
        f"{carried} m = MatMul(x, v) {bn('m')}",
        {"w": normal(3, 4), **norm(3)},
        inputs="double[n,4] x",
        outputs="double[n,3] y",
    )

    after, _ = folded(proto)

    assert op_types(after) == ["Gemm"]
    x = normal(5, 4)
    assert np.allclose(reference(after, {"x": x}), reference(proto, {"x": x}), rtol=0, atol=EXACT)


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        ("Conv(x)", "the weight of Conv 'c' is missing"),
        ("ConvTranspose(x, w)", "the weight of ConvTranspose 'c' has 1 axes"),
    ],
)
def test_an_invalid_operator_is_left_to_those_who_run_it(operator: str, reason: str) -> None:
    proto = model(
        f"c = {operator} {bn('c')}", {"w": normal(3), **norm(3)}, inputs=IMAGE, outputs="double y"
    )
    known = helper.make_tensor_value_info("c", TensorProto.DOUBLE, ["n", 3, "h", "k"])
    proto.graph.value_info.append(known)

    assert reason in str(reason_unchecked(proto))
