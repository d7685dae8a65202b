"""How every linear operator absorbs a batch norm, and which of them it refuses."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

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
from tests.export.oracle import error_after_fold, evaluate


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

    assert "not one number for each of 3 channels" in kept_reason(proto)


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

    assert "on the last of 3 axes" in kept_reason(proto)


def test_a_matrix_product_of_unknown_rank_is_left() -> None:
    proto = model(
        f"r = Reshape(x, s) m = MatMul(r, w) {bn('m', 'z')} y = Reshape(z, t)",
        {"w": normal(4, 3), "t": np.array([-1]), **norm(3)},
        inputs="double[n,4] x, int64[k] s",
        outputs="double[m] y",
    )

    assert kept_reason(proto) == "the rank of the output of MatMul 'm' is not known"


def test_a_constant_on_the_left_of_a_matrix_product_is_left() -> None:
    proto = model(
        f"m = MatMul(w, x) {bn('m')}",
        {"w": normal(3, 3), **norm(4)},
        inputs="double[3,4] x",
        outputs="double[3,4] y",
    )

    assert "'x' is an input of the graph, not a constant" in kept_reason(proto)


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

    assert kept_reason(proto) == f"the weight of MatMul 'm' has {len(weight)} axes, not two"


@pytest.mark.parametrize("shape", [(5, 1), (5, 3), (1, 1, 3)])
def test_a_matrix_product_whose_added_constant_is_no_row_is_left(shape: tuple[int, ...]) -> None:
    output = "double[5,3] y" if len(shape) == 2 else "double[1,5,3] y"
    channels = 3 if len(shape) == 2 else 5
    proto = model(
        f"m = MatMul(x, w) c = Add(m, b) {bn('c')}",
        {"w": normal(4, 3), "b": normal(*shape), **norm(channels)},
        inputs="double[5,4] x",
        outputs=output,
    )

    assert kept_reason(proto)


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

    assert reason.startswith(f"the weight of {operator} 'c'")
    assert reason.endswith("is computed in the graph, by Abs 'v'")


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

    assert ours == "Conv 'c' has 3 outputs, the batch norm has parameters for 1"


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


@pytest.mark.parametrize(("gamma", "word"), [(1e6, "overflow"), (1e-7, "underflow")])
def test_a_float16_weight_that_would_leave_its_range_is_left(gamma: float, word: str) -> None:
    parameters = norm(3, dtype=np.float32)
    parameters["bn_gamma"][:] = gamma
    proto = float16_model(normal(3, 4, 3, 3, dtype=np.float16), parameters)

    reason = kept_reason(proto)

    assert word in reason
    assert "float16 of Conv 'c'" in reason


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
    ("body", "reason"),
    [
        ("c = Conv(x)", "the weight of Conv 'c' is missing"),
        ("c = ConvTranspose(x, w)", "the weight of ConvTranspose 'c' has 1 axes"),
    ],
)
def test_an_invalid_operator_is_left_to_those_who_run_it(body: str, reason: str) -> None:
    proto = model(
        f"{body} {bn('c')}", {"w": normal(3), **norm(3)}, inputs=IMAGE, outputs="double y"
    )

    assert reason_unchecked(proto) == reason
