"""Recognising batch norms and resolving the constants of a graph.

Everything here only reads. What cannot be recognised raises `RefusalError`; its message is
the reason, in words that stand in the report as they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export.folding.affine import ChannelAffine, batch_norm

ONNX_DOMAINS = frozenset({"", "ai.onnx"})
# BatchNormalization's, in every opset. An attribute is a float32, and so is its default.
DEFAULT_EPSILON = float(np.float32(1e-5))
OVERRIDABLE_SINCE_IR = 4  # before, every initializer had to be listed as an input
PER_ACTIVATION_UNTIL_OPSET = 8  # `spatial` left the operator with opset 9
IS_TEST_UNTIL_OPSET = 6  # opset 7 knows the mode by the number of outputs

NdArray = NDArray[Any]


class RefusalError(Exception):
    """A batch norm stays, for the reason that is the message."""


@dataclass(frozen=True)
class BatchNorm:
    """A batch norm in inference mode whose parameters are known.

    Attributes:
        node: Its node.
        source: What it normalises, channels on axis 1.
        affine: What it does to every channel.
    """

    node: ir.Node
    source: ir.Value
    affine: ChannelAffine


def label(node: ir.Node) -> str:
    """How the report calls a node: its name, or that of its first output."""
    return node.name or node.outputs[0].name or node.op_type


def described(node: ir.Node) -> str:
    """A node as it is named inside a sentence, for example ``Conv 'stem'``."""
    return f"{node.op_type} '{label(node)}'"


def is_operator(node: ir.Node, op_type: str) -> bool:
    """Whether a node is the operator `op_type` of ONNX itself."""
    return node.op_type == op_type and node.domain in ONNX_DOMAINS


def is_batch_norm(node: ir.Node) -> bool:
    """Whether a node is ONNX's BatchNormalization."""
    return is_operator(node, "BatchNormalization")


def match_batch_norm(node: ir.Node, opset: int) -> BatchNorm:
    """Read a BatchNormalization node of any opset.

    Args:
        node: The node.
        opset: The version of ONNX's operators that the graph imports.

    Raises:
        RefusalError: It does not use the running statistics, or a parameter is not a constant.
    """
    _check_mode(node, opset)
    roles = ("gamma", "beta", "running mean", "running variance")
    gamma, beta, mean, var = (
        _parameter(node, index, role) for index, role in enumerate(roles, start=1)
    )
    source = node.inputs[0]
    if source is None:  # pragma: no cover - the checker refuses such a graph
        raise RefusalError("it has no input")
    eps = node.attributes.get_float("epsilon", DEFAULT_EPSILON)
    try:
        affine = batch_norm(gamma, beta, mean, var, eps)
    except ValueError as error:
        raise RefusalError(str(error)) from error
    return BatchNorm(node, source, affine)


def _check_mode(node: ir.Node, opset: int) -> None:
    if node.attributes.get_int("training_mode", 0) != 0:
        raise RefusalError("training_mode=1: it normalises with the statistics of each batch")
    if opset <= IS_TEST_UNTIL_OPSET and node.attributes.get_int("is_test", 0) == 0:
        raise RefusalError("is_test=0: it normalises with the statistics of each batch")
    if opset <= PER_ACTIVATION_UNTIL_OPSET and node.attributes.get_int("spatial", 1) == 0:
        raise RefusalError("spatial=0: its parameters differ from position to position")
    if any(output.name for output in node.outputs[1:]):
        raise RefusalError("it also puts out statistics, as a batch norm in training does")


def _parameter(node: ir.Node, index: int, role: str) -> NdArray:
    value = node.inputs[index] if index < len(node.inputs) else None
    array = constant(value, f"its {role}")
    if array.ndim != 1:
        raise RefusalError(f"its {role} has shape {list(array.shape)}, not one number a channel")
    return array


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
        raise RefusalError(f"{role} is computed in the graph, by {described(node)}")
    return carry(node, role)


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
        raise RefusalError(f"{role} has an unknown type, behind {described(node)}")
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


# What carries a constant on unchanged, or shapes it; each is exact in every type.
_CARRIERS: Mapping[str, Callable[[ir.Node, str], NdArray]] = {
    "Identity": _identity,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Expand": _expand,
    "Shape": _shape,
    "ConstantOfShape": _constant_of_shape,
    "Transpose": _transpose,
}
