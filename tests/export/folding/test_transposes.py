"""Transposes that undo each other, whatever works on single numbers between them."""

import numpy as np
import onnx
import pytest

from tests.export.folding.sandwiches import with_shape
from tests.export.graphs import EXACT, Array, folded, model, normal, op_types
from tests.export.oracle import difference

THERE, BACK = "Transpose<perm=[0,2,3,1]>", "Transpose<perm=[0,3,1,2]>"


def graph(body: str, **arrays: Array) -> onnx.ModelProto:
    return with_shape(model(body, arrays, inputs="double[2,4,6,5] x", outputs="double y"))


def left(proto: onnx.ModelProto) -> list[str]:
    """The operators that are left; the numbers are checked."""
    after, _ = folded(proto, "safe")
    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT
    return op_types(after)


@pytest.mark.parametrize(
    ("between", "operators"),
    [
        ("v = Identity(u)", []),
        ("v = Relu(u)", ["Relu"]),
        ("w = Sigmoid(u) v = Clip(w, low, high)", ["Sigmoid", "Clip"]),
        ("v = Max(u, k)", ["Max"]),
        ("v = Mul(u, matrix)", ["Mul"]),
        ("v = Add(one, u)", ["Add"]),
    ],
)
def test_a_pair_goes_with_what_stands_between(between: str, operators: list[str]) -> None:
    proto = graph(
        f"a = Abs(x) u = {THERE}(a) {between} b = {BACK}(v) y = Tanh(b)",
        low=np.array(-0.5),
        high=np.array(0.5),
        k=normal(4),
        matrix=normal(5, 4),
        one=np.array([[0.5]]),
    )

    assert left(proto) == ["Abs", *operators, "Tanh"]


def test_a_pair_that_names_no_order_goes_too() -> None:
    assert left(graph("a = Abs(x) u = Transpose(a) b = Transpose(u) y = Tanh(b)")) == [
        "Abs",
        "Tanh",
    ]


@pytest.mark.parametrize(
    "body",
    [
        f"u = {THERE}(x) v = Relu(u) y = {BACK}(v)",
        f"u = {THERE}(x) v = Relu(u) b = {THERE}(v) y = Tanh(b)",
        f"u = {THERE}(x) v = Relu(u) b = {BACK}(v) c = ReduceMean<axes=[1,2,3]>(v) y = Add(b, c)",
        f"u = {THERE}(x) v = Softmax(u) b = {BACK}(v) y = Tanh(b)",
        f"u = {THERE}(x) v = Mul(u, u) b = {BACK}(v) y = Tanh(b)",
    ],
    ids=["output", "other order", "other reader", "along an axis", "two tensors"],
)
def test_a_transpose_that_is_needed_stays(body: str) -> None:
    if "Softmax" in body:
        after, _ = folded(graph(body), "safe")
        assert op_types(after).count("Transpose") == 2
        return
    assert left(graph(body)).count("Transpose") == 2


def test_a_transpose_of_another_reader_stays_for_it() -> None:
    proto = graph(
        f"a = Abs(x) u = {THERE}(a) b = {BACK}(u) c = MatMul(u, m) d = Tanh(b) e = {BACK}(c) "
        "y = Mul(d, e)",
        m=normal(4, 4),
    )

    assert left(proto) == ["Abs", "Transpose", "MatMul", "Tanh", "Transpose", "Mul"]
