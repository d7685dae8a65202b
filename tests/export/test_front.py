"""What stands between bytes and network: one Transpose, one Cast, and nothing is lost by it."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from export.front import put_before
from tests.export.graphs import Array, model, op_types, run_float32

LAST, FIRST = "Transpose<perm=[0,2,3,1]>", "Transpose<perm=[0,3,1,2]>"
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3), np.uint8)
FLOATS = np.moveaxis(PIXELS, 3, 1).astype(np.float32)
PER_CHANNEL = {"c": np.array([7, 50, 300], np.float32), "s": np.array(3, np.float32)}
CONV = {"w": np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)}


def network(body: str, shape: str = "n,3,6,5", **arrays: Array) -> onnx.ModelProto:
    given = PER_CHANNEL | CONV | arrays
    used = {
        name: array for name, array in given.items() if f"{name})" in body or f"{name}," in body
    }
    return model(body, used, inputs="float[n,3,6,5] x", outputs=f"float[{shape}] y")


def taking_bytes(proto: onnx.ModelProto) -> onnx.ModelProto:
    ours = ir.from_proto(proto)
    put_before(ours.graph, ours.graph.inputs[0], (6, 5, 3))
    after: onnx.ModelProto = ir.to_proto(ours)
    onnx.checker.check_model(after, full_check=True)
    return after


def outputs(proto: onnx.ModelProto, after: onnx.ModelProto) -> tuple[Any, Any]:
    return run_float32(proto, {"x": FLOATS}), run_float32(after, {"x": PIXELS})


@pytest.mark.parametrize(
    ("body", "shape", "operators"),
    [
        ("y = Neg(x)", "n,3,6,5", ["Transpose", "Cast", "Neg"]),
        (f"a = {LAST}(x) y = Neg(a)", "n,6,5,3", ["Cast", "Neg"]),
        (f"a = {LAST}(x) b = {FIRST}(a) y = Neg(b)", "n,3,6,5", ["Transpose", "Cast", "Neg"]),
        ("a = Transpose(x) y = Neg(a)", "5,6,3,n", ["Transpose", "Cast", "Neg"]),
        (
            f"a = {LAST}(x) b = Sub(a, c) d = Div(s, b) e = {FIRST}(d) y = Conv(e, w)",
            "n,4,4,3",
            ["Transpose", "Cast", "Sub", "Div", "Conv"],
        ),
        (f"a = {LAST}(x) b = Sub(a, c) y = Neg(b)", "n,6,5,3", ["Cast", "Sub", "Neg"]),
    ],
    ids=["none", "to last", "to last and back", "reversed", "normalized between", "stays last"],
)
def test_the_transposes_behind_an_image_become_one_of_bytes(
    body: str, shape: str, operators: list[str]
) -> None:
    proto = network(body, shape)
    after = taking_bytes(proto)
    assert op_types(after) == operators
    expected, actual = outputs(proto, after)
    np.testing.assert_array_equal(actual[0], expected[0])


def test_the_comparison_sees_a_constant_that_was_not_turned() -> None:
    body = f"a = {LAST}(x) b = Sub(a, k) d = {FIRST}(b) y = Conv(d, w)"
    along_height = np.arange(6, dtype=np.float32).reshape(6, 1, 1)
    along_width = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
    after = taking_bytes(network(body, "n,4,4,3", k=along_height))
    expected, actual = outputs(network(body, "n,4,4,3", k=along_width), after)
    assert not np.allclose(actual[0], expected[0])
    expected, actual = outputs(network(body, "n,4,4,3", k=along_height), after)
    np.testing.assert_array_equal(actual[0], expected[0])


@pytest.mark.parametrize(
    ("body", "operators"),
    [
        (
            f"a = {LAST}(x) b = {FIRST}(a) d = Neg(a) e = {FIRST}(d) y = Add(b, e)",
            ["Cast", "Transpose", "Neg", "Transpose", "Add"],
        ),
        (f"a = {LAST}(x) y = {FIRST}(a)", ["Cast", "Transpose"]),
        (
            f"b = Add(x, x) a = {LAST}(b) y = {FIRST}(a)",
            ["Transpose", "Cast", "Add", "Transpose", "Transpose"],
        ),
        (
            f"k = Constant<value_float=2.0>() b = Mul(x, k) a = {LAST}(b) y = {FIRST}(a)",
            ["Transpose", "Cast", "Constant", "Mul", "Transpose", "Transpose"],
        ),
    ],
    ids=["two readers", "an output", "added to itself", "a constant that a node makes"],
)
def test_what_is_read_elsewhere_or_is_no_constant_ends_the_front(
    body: str, operators: list[str]
) -> None:
    proto = network(body)
    after = taking_bytes(proto)
    assert op_types(after) == operators
    expected, actual = outputs(proto, after)
    np.testing.assert_array_equal(actual[0], expected[0])


def test_a_constant_that_others_read_as_it_is_stays_for_them() -> None:
    body = f"a = {LAST}(x) b = Sub(a, c) d = {FIRST}(b) e = {LAST}(d) f = Mul(e, c) y = Neg(f)"
    proto = network(body, "n,6,5,3")
    expected, actual = outputs(proto, taking_bytes(proto))
    np.testing.assert_array_equal(actual[0], expected[0])


def test_shapes_that_the_graph_states_stay_true() -> None:
    proto = network(f"a = {LAST}(x) b = Sub(a, c) d = {FIRST}(b) y = Neg(d)")
    stated = onnx.shape_inference.infer_shapes(proto)
    assert {value.name for value in stated.graph.value_info} == {"a", "b", "d"}
    expected, actual = outputs(proto, taking_bytes(stated))
    np.testing.assert_array_equal(actual[0], expected[0])
