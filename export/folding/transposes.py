"""Taking out transposes that undo each other, also where operators on single numbers stand between.

Frameworks that keep the channels last wrap every convolution into two transposes; what they enclose
is the same without them. Constants that stand between change their axes with the tensor.
"""

import numpy as np
import onnx_ir as ir

from export.folding.constants import NdArray, RefusalError, constant, is_constant, is_operator
from export.folding.draft import Draft, dims
from export.folding.recognition import FLOATS

# They work on every number alone, whatever its place.
POINTWISE = (
    *("Abs", "Cast", "Ceil", "Clip", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid"),
    *("HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round"),
    *("Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Tanh", "ThresholdedRelu"),
    *("Add", "Div", "Max", "Min", "Mul", "Sub"),
)


def cancel_transposes(draft: Draft, graph: ir.Graph) -> None:
    """Take out pairs of transposes with nothing but operators on single numbers between."""
    for last in list(graph):
        if not is_operator(last, "Transpose") or last.outputs[0].is_graph_output():
            continue
        path = _path_to_inverse(last)
        if path is None:
            continue
        first, between = path
        source, order = first.inputs[0], _order(first)
        if source is None or not _constants_follow(draft, between, order):
            continue
        top = between[0] if between else None
        if top is not None:
            top.replace_input_with(list(top.inputs).index(first.outputs[0]), source)
        for node in between:
            _reorder_shape(node.outputs[0], order)
        result = between[-1].outputs[0] if between else source
        last.outputs[0].replace_all_uses_with(result)


def _path_to_inverse(last: ir.Node) -> tuple[ir.Node, list[ir.Node]] | None:
    """The transpose that `last` undoes, and the operators between, in order."""
    between: list[ir.Node] = []
    value = last.inputs[0]
    while value is not None:
        node = value.producer()
        if node is None or node.graph is not last.graph:
            return None
        if is_operator(node, "Transpose"):
            orders = _order(node), _order(last)
            undone = tuple(orders[0][axis] for axis in orders[1]) == tuple(range(len(orders[0])))
            return (node, between[::-1]) if undone else None
        if not is_operator(node, *POINTWISE) or len(value.uses()) > 1 or value.is_graph_output():
            return None
        tensors = [one for one in node.inputs if one is not None and not is_constant(one)]
        if len(tensors) != 1:
            return None
        between.append(node)
        value = tensors[0]
    return None


def _order(node: ir.Node) -> tuple[int, ...]:
    try:
        rank = len(dims(node.inputs[0]))
    except RefusalError:
        rank = 0
    given: tuple[int, ...] = tuple(node.attributes.get_ints("perm", ()))
    return given or tuple(reversed(range(rank)))


def _constants_follow(draft: Draft, nodes: list[ir.Node], order: tuple[int, ...]) -> bool:
    """Give the constants of the operators the axes of the other layout; whether that can be."""
    changes: list[tuple[ir.Node, int, NdArray]] = []
    for node in nodes:
        for index, value in enumerate(node.inputs):
            if value is None or not is_constant(value):
                continue
            array = constant(value, "")
            if array.size == 1:
                continue
            if value.dtype not in FLOATS or array.ndim > len(order):
                return False
            full = array.reshape((1,) * (len(order) - array.ndim) + array.shape)
            changes.append((node, index, full.transpose(np.argsort(order))))
    for node, index, array in changes:
        draft.set_operand(node, index, array.astype(np.float64), _dtype(node))
    return True


def _dtype(node: ir.Node) -> ir.DataType:
    return node.outputs[0].dtype or ir.DataType.FLOAT


def _reorder_shape(value: ir.Value, order: tuple[int, ...]) -> None:
    """The shape that a value has before the transpose that stood in front of it."""
    if value.shape is not None:
        value.shape = ir.Shape([value.shape[int(axis)] for axis in np.argsort(order)])
