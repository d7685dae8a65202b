"""16-bit floats: everything that can be is, what must not be is not, and overflow is seen."""

import numpy as np
import onnx_ir as ir
import pytest

from export.errors import PrecisionError, UsageError
from export.precision.fp16 import to_fp16
from export.precision.overflow import LARGEST, check_activations
from tests.export.graphs import normal, relative_error
from tests.export.precision.networks import (
    CLASSES,
    IMAGE,
    dtype,
    graph,
    images,
    operators,
    run,
    weights,
)

# 16-bit floats round by 4.9e-4, a few times in a row.
HALF = 5e-3
FLOAT16 = ir.DataType.FLOAT16


def test_weights_are_16_bit_floats_and_the_float32_signature_is_kept() -> None:
    network = graph()

    narrow = to_fp16(network)

    assert {dtype(narrow, name) for name in weights()} == {FLOAT16}
    assert [value.name for value in narrow.graph.inputs] == ["x"]
    assert [value.name for value in narrow.graph.outputs] == ["y"]
    assert narrow.graph.inputs[0].dtype == narrow.graph.outputs[0].dtype == ir.DataType.FLOAT
    assert str(narrow.graph.inputs[0].shape) == str(network.graph.inputs[0].shape)


def test_it_computes_the_same_but_for_rounding() -> None:
    network, x = graph(), images(5)

    expected, actual = run(network, {"x": x}), run(to_fp16(network), {"x": x})

    assert 0 < relative_error(expected, actual) < HALF


def test_the_given_model_is_left_alone() -> None:
    network = graph()
    before = ir.to_proto(network).SerializeToString(deterministic=True)

    to_fp16(network)

    assert ir.to_proto(network).SerializeToString(deterministic=True) == before


def test_inputs_and_outputs_are_float16_where_that_is_asked() -> None:
    narrow = to_fp16(graph(), "float16")

    y = run(narrow, {"x": images(2).astype(np.float16)})

    assert narrow.graph.inputs[0].dtype == FLOAT16
    assert y.dtype == np.float16
    assert "Cast" not in operators(narrow)


def test_pixels_stay_bytes_and_are_cast_to_16_bits_exactly() -> None:
    body = "t = Transpose<perm = [0, 3, 1, 2]>(u) x = Cast<to = 1>(t) y = Identity(x)"
    network = graph(body, {}, inputs="uint8[batch,2,2,64] u", outputs="float[batch,64,2,2] y")
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 2, 2, 64)

    narrow = to_fp16(network)

    cast = next(node for node in narrow.graph if node.op_type == "Cast")
    assert narrow.graph.inputs[0].dtype == ir.DataType.UINT8
    assert cast.attributes["to"].as_int() == FLOAT16
    np.testing.assert_array_equal(run(narrow, {"u": pixels}), run(network, {"u": pixels}))


@pytest.mark.parametrize("operator", ["Max", "Min"])
def test_a_clamp_of_the_fold_is_computed_in_16_bits(operator: str) -> None:
    bound = {"c": normal(1, 3, 1, 1, dtype=np.float32)}
    network = graph(f"y = {operator}(x, c)", bound, outputs="float[batch,3,8,8] y")

    narrow = to_fp16(network)

    assert dtype(narrow, "c") == FLOAT16
    assert operators(narrow).count("Cast") == 2  # of the input and of the output alone


# 1.3 is no 16-bit float: rounded, it would give another size. In Constant nodes as PyTorch's
# exporter writes them, or as initializers.
RESIZES = {
    "opset 10": (10, "y = Resize(x, s)"),
    "opset 11": (11, "y = Resize(x, roi, s)"),
    "opset 17": (17, "y = Resize(x, , s)"),
    "a constant": (
        17,
        "k = Constant<value = float[4] {1.0, 1.0, 1.3, 1.3}>() y = Resize(x, , k)",
    ),
    "Upsample": (9, "y = Upsample(x, s)"),
}


@pytest.mark.parametrize("case", RESIZES)
def test_scales_of_a_resize_stay_float32(case: str) -> None:
    opset, body = RESIZES[case]
    scales = {"s": np.array([1, 1, 1.3, 1.3], np.float32), "roi": np.zeros(0, np.float32)}
    used = {name: array for name, array in scales.items() if f" {name}" in body}
    network = graph(body, used, outputs="float[batch,c,h,w] y", opset=opset)

    narrow = to_fp16(network)

    expected, actual = run(network, {"x": images(2)}), run(narrow, {"x": images(2)})
    assert actual.shape == (2, 3, 10, 10)
    assert relative_error(expected, actual) < HALF


def test_a_weight_that_overflows_is_refused_by_name() -> None:
    arrays = weights()
    arrays["g"][2, 1] = 1e5

    with pytest.raises(PrecisionError, match=r"the weight 'g' holds 100000, more than the 65504"):
        to_fp16(graph(arrays=arrays))


def test_the_largest_weight_that_fits_is_taken() -> None:
    arrays = weights()
    arrays["g"][2, 1] = LARGEST

    assert dtype(to_fp16(graph(arrays=arrays)), "g") == FLOAT16


def test_a_bound_beyond_16_bits_bounds_nothing_and_is_no_overflow() -> None:
    bounds = {"low": np.array(0, np.float32), "high": np.array(3.4e38, np.float32)}
    network = graph("y = Clip(x, low, high)", bounds, outputs="float[batch,3,8,8] y")

    narrow = to_fp16(network)

    expected, actual = run(network, {"x": images(2)}), run(narrow, {"x": images(2)})
    assert relative_error(expected, actual) < HALF


def test_an_activation_that_overflows_is_refused_by_name() -> None:
    network = graph(arrays=weights(scale=1e4))

    with pytest.raises(PrecisionError, match=r"the tensor 'c' holds .*, more than the 65504"):
        check_activations(network, [{"x": images(4, scale=10)}])


def test_one_batch_of_many_is_enough_to_refuse() -> None:
    network = graph(arrays=weights(scale=1e4))

    check_activations(network, [{"x": images(2, scale=0.1)}])
    with pytest.raises(PrecisionError, match="'c'"):
        check_activations(network, [{"x": images(2, scale=0.1)}, {"x": images(2, scale=10)}])


def test_an_input_that_overflows_is_refused_by_name() -> None:
    with pytest.raises(PrecisionError, match="the input 'x' holds"):
        check_activations(graph(), [{"x": images(1, scale=1e6)}])


def test_what_the_converter_cannot_do_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxruntime.transformers import float16  # type: ignore[import-untyped]  # it has no types

    def fails(*_: object, **__: object) -> None:
        raise ValueError("no\nway")

    monkeypatch.setattr(float16, "convert_float_to_float16", fails)
    with pytest.raises(UsageError, match=r"--precision fp16: not possible here \(no way\)"):
        to_fp16(graph())


def test_two_outputs_and_a_branch_stay_in_order() -> None:
    body = "a = Relu(x) y = Neg(a) z = Add(a, y)"
    network = graph(
        body, {}, outputs="float[batch,3,8,8] y, float[batch,3,8,8] z, float[batch,3,8,8] a"
    )

    narrow = to_fp16(network)

    assert [value.name for value in narrow.graph.outputs] == ["y", "z", "a"]
    run(narrow, {"x": images(2)})  # checks the order of the nodes


def test_the_fixture_has_as_many_classes_as_it_says() -> None:
    assert run(graph(inputs=IMAGE), {"x": images(3)}).shape == (3, CLASSES)
