"""The way from a batch norm back to its operator: what bars it, and what does not."""

import numpy as np
import onnx

from tests.export.graphs import (
    EXACT,
    IMAGE,
    WEIGHT,
    bn,
    folded,
    kept_reason,
    model,
    norm,
    normal,
    op_types,
)
from tests.export.oracle import error_after_fold


def test_a_sum_of_two_matrix_products_is_left() -> None:
    proto = model(
        f"m = MatMul(x, w) k = MatMul(x, v) c = Add(m, k) {bn('c')}",
        {"w": normal(4, 3), "v": normal(4, 3), **norm(3)},
        inputs="double[n,4] x",
        outputs="double[n,3] y",
    )

    assert "is computed in the graph, by MatMul 'k'" in kept_reason(proto)


def test_a_product_added_to_itself_is_left() -> None:
    proto = model(
        f"m = MatMul(x, w) c = Add(m, m) {bn('c')}",
        {"w": normal(4, 3), **norm(3)},
        inputs="double[n,4] x",
        outputs="double[n,3] y",
    )

    assert "is read twice by Add" in kept_reason(proto)


def test_a_second_reader_of_the_convolution_keeps_the_batch_norm() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'z')} r = Relu(c) y = Add(z, r)",
        {**WEIGHT, **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    assert kept_reason(proto) == "the output of Conv 'c' is also read by Relu 'r'"


def test_a_convolution_that_is_an_output_keeps_the_batch_norm() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        {**WEIGHT, **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y, double[n,3,4,3] c",
    )

    assert kept_reason(proto) == "the output of Conv 'c' is also an output of the graph"


def test_identities_between_convolution_and_batch_norm_are_looked_through() -> None:
    proto = model(
        f"c = Conv(x, w) i = Identity(c) j = Identity(i) {bn('j')}",
        {**WEIGHT, **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    assert error_after_fold(proto, 2, 4, 6, 5) <= EXACT


def test_an_identity_with_a_second_reader_is_not() -> None:
    proto = model(
        f"c = Conv(x, w) i = Identity(c) {bn('i', 'z')} y = Add(z, i)",
        {**WEIGHT, **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    assert "also read by Add 'y'" in kept_reason(proto)


def test_a_batch_norm_after_an_activation_is_left() -> None:
    proto = model(
        f"c = Conv(x, w) r = Relu(c) {bn('r')}",
        {**WEIGHT, **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    assert kept_reason(proto).startswith("it follows Relu 'r', which is not a linear operator")


def test_a_sum_without_a_matrix_product_is_left() -> None:
    proto = model(
        f"c = Conv(x, w) a = Add(c, b) {bn('a')}",
        {**WEIGHT, "b": normal(3, 1, 1), **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    assert kept_reason(proto).startswith("it follows Add 'a'")


def test_a_batch_norm_at_the_input_is_left() -> None:
    proto = model(f"{bn('x')}", norm(4), inputs=IMAGE, outputs="double[n,4,6,5] y")

    assert kept_reason(proto) == "it reads the input 'x': there is no operator before it"


def test_a_chain_of_batch_norms_folds_one_after_the_other() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} {bn('d', prefix='two')}",
        {**WEIGHT, **norm(3), **norm(3, seed=7, prefix="two")},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    after, report = folded(proto)

    assert report.bn_after == 0
    assert op_types(after) == ["Conv"]
    assert error_after_fold(proto, 2, 4, 6, 5) <= EXACT


def test_one_weight_behind_two_batch_norms_becomes_two() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} e = Conv(d, w) {bn('e', prefix='two')}",
        {"w": normal(4, 4, 3, 3), **norm(4), **norm(4, seed=7, prefix="two")},
        inputs="double[n,4,7,7] x",
        outputs="double[n,4,3,3] y",
    )

    after, _ = folded(proto)

    assert error_after_fold(proto, 2, 4, 7, 7) <= EXACT
    assert {one.name for one in after.graph.initializer} == {"w_folded", "w_bias", "w", "w_bias_2"}


def test_a_weight_that_another_operator_reads_keeps_its_value() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} e = Conv(x, w) y = Add(d, e)",
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
        f"c = Conv(x, weight) {bn('c', 'd')} y = Add(d, bias)",
        {"weight": WEIGHT["w"], "bias": normal(3, 1, 1), **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    after, _ = folded(proto)

    assert {one.name for one in after.graph.initializer} == {
        "weight",
        "bias",
        "bias_2",
    }
    assert error_after_fold(proto, 2, 4, 6, 5) <= EXACT
