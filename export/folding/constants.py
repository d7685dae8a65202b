"""Resolving the constants of a graph, and naming its nodes.

Everything here only reads. What is no constant raises `RefusalError`; its message is the reason, in
words that stand in the report as they are.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

ONNX_DOMAINS = frozenset({"", "ai.onnx"})

NdArray = NDArray[Any]


class RefusalError(Exception):
    """Something stays as it is, for the reason that is the message.

    Attributes:
        node: The name of the node that forbids it, None where no other node does.
    """

    def __init__(self, message: str, node: ir.Node | None = None) -> None:
        super().__init__(message)
        self.node = None if node is None else label(node)


def label(node: ir.Node) -> str:
    """How the report calls a node: its name, or that of its first output."""
    return node.name or node.outputs[0].name or node.op_type


def described(node: ir.Node) -> str:
    """A node as it is named inside a sentence, for example ``Conv 'stem'``."""
    return f"{node.op_type} '{label(node)}'"


def is_operator(node: ir.Node, *op_types: str) -> bool:
    """Whether a node is one of these operators of ONNX itself."""
    return node.op_type in op_types and node.domain in ONNX_DOMAINS


def constant(value: ir.Value | None, role: str) -> NdArray:
    """The array that a value always holds.

    Looks through the operators that only carry or reshape a constant: exporters put parameters
    behind Identity, Cast, Transpose or ``Expand(CastLike(1, x), Shape(y))``.

    Args:
        value: Any value of a graph.
        role: What it is, to begin a sentence of refusal with.

    Raises:
        RefusalError: The value is computed, an input, or can be overridden by a caller.
    """
    if value is None:
        raise RefusalError(f"{role} is missing")
    if value.is_initializer():
        if value.is_graph_input():
            raise RefusalError(
                f"{role} '{value.name}' is also an input, so the caller can override it"
            )
        return _array(value.const_value)
    node = value.producer()
    if node is None:
        raise RefusalError(f"{role} '{value.name}' is an input of the graph, not a constant")
    if is_operator(node, "Constant"):
        return _array(ir.convenience.get_const_tensor(value))
    carry = _CARRIERS.get(node.op_type) if node.domain in ONNX_DOMAINS else None
    if carry is None:
        raise RefusalError(f"{role} is computed in the graph, by {described(node)}", node)
    return carry(node, role)


def is_constant(value: ir.Value | None) -> bool:
    """Whether a value always holds the same array, which `constant` can give."""
    try:
        constant(value, "")
    except RefusalError:
        return False
    return True


def integers(node: ir.Node, name: str, index: int) -> tuple[int, ...] | None:
    """A list of integers that older opsets give as an attribute and newer ones as an operand.

    Args:
        node: The node.
        name: The attribute.
        index: The operand.

    Returns:
        The list, None where it is not given.

    Raises:
        RefusalError: The operand is computed.
    """
    attribute = node.attributes.get(name)
    if attribute is not None:
        return tuple(attribute.as_ints())
    operand = node.inputs[index] if len(node.inputs) > index else None
    if operand is None:
        return None
    array = constant(operand, f"the {name} of {described(node)}")
    return tuple(int(number) for number in array.reshape(-1))


def number(node: ir.Node, name: str, index: int, default: float) -> float:
    """A number that older opsets give as an attribute and newer ones as an operand.

    Args and raises as `integers`; `default` stands for one that is not given.
    """
    attribute = node.attributes.get(name)
    if attribute is not None:
        return float(attribute.as_float())
    operand = node.inputs[index] if len(node.inputs) > index else None
    if operand is None:
        return default
    return float(constant(operand, f"the {name} of {described(node)}").reshape(-1)[0])


def _array(tensor: ir.TensorProtocol | None) -> NdArray:
    if tensor is None or tensor.dtype == ir.DataType.STRING:
        raise RefusalError("a constant holds no numbers")
    return tensor.numpy()


def _identity(node: ir.Node, role: str) -> NdArray:
    return constant(node.inputs[0], role)


def _cast(node: ir.Node, role: str) -> NdArray:
    target = ir.DataType(node.attributes.get_int("to"))
    return constant(node.inputs[0], role).astype(target.numpy())


def _cast_like(node: ir.Node, role: str) -> NdArray:
    like = node.inputs[1]
    if like is None or like.dtype is None:
        raise RefusalError(f"{role} has an unknown type, behind {described(node)}", node)
    return constant(node.inputs[0], role).astype(like.dtype.numpy())


def _expand(node: ir.Node, role: str) -> NdArray:
    array, shape = constant(node.inputs[0], role), constant(node.inputs[1], role)
    expanded: NdArray = array * np.ones(tuple(shape), array.dtype)
    return expanded


def _shape(node: ir.Node, role: str) -> NdArray:
    shape = constant(node.inputs[0], role).shape
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(shape))
    return np.array(shape[start:end], np.int64)


def _constant_of_shape(node: ir.Node, role: str) -> NdArray:
    shape = constant(node.inputs[0], role)
    fill = node.attributes.get("value")
    number = np.zeros(1, np.float32) if fill is None else fill.as_tensor().numpy()
    return np.full(tuple(shape), number[0], number.dtype)


def _transpose(node: ir.Node, role: str) -> NdArray:
    perm = node.attributes.get_ints("perm", ())
    return np.transpose(constant(node.inputs[0], role), tuple(perm) or None)


def _unsqueeze(node: ir.Node, role: str) -> NdArray:
    array = constant(node.inputs[0], role)
    return np.expand_dims(array, integers(node, "axes", 1) or ())


def _reshape(node: ir.Node, role: str) -> NdArray:
    array, shape = constant(node.inputs[0], role), integers(node, "shape", 1)
    if shape is None or (0 in shape and node.attributes.get_int("allowzero", 0) == 1):
        raise RefusalError(f"{role} has an unknown shape, behind {described(node)}", node)
    return array.reshape([array.shape[i] if size == 0 else size for i, size in enumerate(shape)])


# What carries a constant on unchanged, or shapes it; each is exact in every type.
_CARRIERS: Mapping[str, Callable[[ir.Node, str], NdArray]] = {
    "Identity": _identity,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Expand": _expand,
    "Shape": _shape,
    "ConstantOfShape": _constant_of_shape,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
