"""Resolving constants through what carries them."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import shape_inference

from export.folding.constants import (
    RefusalError,
    constant,
    described,
    integers,
    is_constant,
    label,
    number,
)
from tests.export.graphs import Array, model

MATRIX = np.arange(6.0).reshape(2, 3)


def last(body: str, *, opset: int = 17, inferred: bool = True, **arrays: Array) -> ir.Node:
    """The last node of a graph; its first operand is the value in question."""
    proto = model(
        f"{body} y = Relu(v)",
        {"k": MATRIX, **arrays},
        inputs="double[n] x",
        outputs="double y",
        opset=opset,
    )
    graph = ir.from_proto(shape_inference.infer_shapes(proto) if inferred else proto).graph
    return list(graph)[-1]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("v = Identity(k)", MATRIX),
        ("v = Cast<to=1>(k)", MATRIX.astype(np.float32)),
        ("v = CastLike(i, x)", np.float64(3)),
        ("v = Expand(k, s)", np.broadcast_to(MATRIX, (2, 2, 3))),
        ("v = Shape(k)", np.array([2, 3])),
        ("v = Shape<start=1>(k)", np.array([3])),
        ("v = Shape<start=0,end=-1>(k)", np.array([2])),
        ("v = ConstantOfShape(s)", np.zeros((2, 2, 3), np.float32)),
        ("v = ConstantOfShape<value = double[1] {2.5}>(s)", np.full((2, 2, 3), 2.5)),
        ("v = Transpose(k)", MATRIX.T),
        ("v = Transpose<perm=[0,1]>(k)", MATRIX),
        ("v = Unsqueeze(k, a)", MATRIX[:, None]),
        ("v = Reshape(k, r)", MATRIX.reshape(2, 3, 1)),
        ("v = Constant<value_float=1.5>()", np.float32(1.5)),
        ("v = Constant<value = double[2] {1.0, 2.0}>()", np.array([1.0, 2.0])),
    ],
)
def test_what_only_carries_a_constant_is_looked_through(body: str, expected: Any) -> None:
    node = last(
        body,
        i=np.array(3),
        s=np.array([2, 2, 3]),
        a=np.array([1]),
        r=np.array([0, -1, 1]),
    )

    found = constant(node.inputs[0], "it")

    assert found.dtype == np.asarray(expected).dtype
    assert np.array_equal(found, expected)
    assert is_constant(node.inputs[0])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("v = Identity(x)", "it 'x' is an input of the graph, not a constant"),
        ("v = Abs(k)", "it is computed in the graph, by Abs 'v'"),
        ("v = com.example.Identity(k)", "it is computed in the graph, by Identity 'v'"),
        ("v = Reshape<allowzero=1>(k, r)", "it has an unknown shape, behind Reshape 'v'"),
        ('v = Constant<value_string="a">()', "a constant holds no numbers"),
    ],
)
def test_what_is_computed_is_no_constant(body: str, reason: str) -> None:
    node = last(body, inferred=False, r=np.array([0, -1, 1]))

    with pytest.raises(RefusalError) as refusal:
        constant(node.inputs[0], "it")

    assert str(refusal.value) == reason
    assert not is_constant(node.inputs[0])


def test_what_is_like_a_value_of_unknown_type_is_unknown() -> None:
    node = last("u = com.example.Odd(x) v = CastLike(k, u)", inferred=False)

    with pytest.raises(RefusalError, match="it has an unknown type, behind CastLike 'v'"):
        constant(node.inputs[0], "it")


def test_what_is_missing_is_no_constant() -> None:
    with pytest.raises(RefusalError, match="the weight is missing"):
        constant(None, "the weight")


def test_a_refusal_names_the_node() -> None:
    node = last("v = Abs(k)")

    assert RefusalError("it", node).node == "y"
    assert RefusalError("it").node is None
    assert (label(node), described(node)) == ("y", "Relu 'y'")


@pytest.mark.parametrize(
    ("body", "opset"), [("v = Unsqueeze<axes=[1,0]>(k)", 11), ("v = Unsqueeze(k, a)", 17)]
)
def test_a_list_is_an_attribute_in_old_opsets_and_an_operand_in_new_ones(
    body: str, opset: int
) -> None:
    node = last(body, opset=opset, a=np.array([1, 0])).predecessors()[0]

    assert integers(node, "axes", 1) == (1, 0)
    assert integers(node, "other", 5) is None


def test_so_is_a_number() -> None:
    old = last("v = Clip<min=-0.5>(k)", opset=10).predecessors()[0]
    new = last("v = Clip(k, a)", a=np.array(-0.5)).predecessors()[0]

    assert number(old, "min", 1, 0.0) == number(new, "min", 1, 0.0) == -0.5
    assert number(new, "max", 2, 6.0) == 6.0
