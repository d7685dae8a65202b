"""Finding the affines of a graph: batch norms of every opset, and chains of Mul, Add, Sub and Div.

Everything here only reads. A constant operand counts by how it broadcasts against the tensor: one
of shape [W] varies along the last axis and is not per channel, even where W equals C.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import onnx_ir as ir

from export.folding.affine import Affine, Array, batch_norm
from export.folding.constants import (
    NdArray,
    RefusalError,
    constant,
    described,
    is_constant,
    is_operator,
)
from export.folding.draft import AffineSite, dims

# BatchNormalization's, in every opset. An attribute is a float32, and so is its default.
DEFAULT_EPSILON = float(np.float32(1e-5))
PER_ACTIVATION_UNTIL_OPSET = 8  # `spatial` left the operator with opset 9
IS_TEST_UNTIL_OPSET = 6  # opset 7 knows the mode by the number of outputs
BROADCASTS_SINCE_OPSET = 7  # before, Add and Mul aligned their operands by an attribute
# Of what a chain reads: deviations of two channels, and the numbers themselves (pixels end at 255).
LARGEST_SPREAD = 4.0
LARGEST_NUMBERS = 2.0**10
FLOATS = frozenset(
    {ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16}
)


def is_batch_norm(node: ir.Node) -> bool:
    """Whether a node is ONNX's BatchNormalization."""
    return is_operator(node, "BatchNormalization")


def batch_norms(graph: ir.Graph | ir.Function) -> list[ir.Node]:
    """The batch norms of a graph and its subgraphs, in order."""
    nodes: Iterator[ir.Node] = ir.traversal.RecursiveGraphIterator(graph)
    return [node for node in nodes if is_batch_norm(node)]


def match(node: ir.Node, opset: int) -> AffineSite:
    """The affine that one node computes.

    Args:
        node: Any node.
        opset: The version of ONNX's operators that the graph imports.

    Raises:
        RefusalError: It computes none, or one that depends on more than constants.
    """
    if is_batch_norm(node):
        return _batch_norm(node, opset)
    reader = _ELEMENTWISE.get(node.op_type) if is_operator(node, node.op_type) else None
    if reader is None or opset < BROADCASTS_SINCE_OPSET:
        raise RefusalError(f"{described(node)} is no affine")
    return _elementwise(node, reader)


def chains(nodes: Iterator[ir.Node], opset: int) -> Iterator[AffineSite]:
    """The affines of a graph, those composed that follow each other with nothing between.

    Args:
        nodes: The nodes of one graph, in order.
        opset: The version of ONNX's operators.
    """
    found: dict[ir.Value, AffineSite] = {}
    for node in nodes:
        try:
            site = match(node, opset)
        except RefusalError:
            continue
        first = found.get(site.source)
        if first is not None and _is_private(site.source):
            both = _composed(first, site)
            if varies_once(both.affine):  # else an embedding stands behind a batch norm
                del found[site.source]
                site = both
        found[site.output] = site
    yield from found.values()


def varies_once(affine: Affine) -> bool:
    """Whether an affine differs along one axis at most, as a batch norm does along the channels."""
    arrays = (affine.scale, affine.shift)
    return len({axis for array in arrays for axis, n in enumerate(array.shape) if n > 1}) <= 1


def _composed(first: AffineSite, then: AffineSite) -> AffineSite:
    affine = then.affine.after(first.affine)
    if first.has_batch_norm:
        mean, deviation = first.mean, first.deviation
    elif then.has_batch_norm:
        mean, deviation = _seen_through(first.affine, then)
    else:
        mean, deviation = _assumed(affine)
    return AffineSite([*first.nodes, *then.nodes], first.operand, affine, mean, deviation)


def _seen_through(affine: Affine, norm: AffineSite) -> tuple[Array, Array]:
    """What a batch norm knows of its input, for the input of an affine before it."""
    try:
        back = affine.inverse()
    except ZeroDivisionError:
        return _assumed(norm.affine.after(affine))
    return back(norm.mean), np.abs(back.scale) * norm.deviation


def _is_private(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def _batch_norm(node: ir.Node, opset: int) -> AffineSite:
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
    sizes = dims(source)
    if len(sizes) < 2 or (isinstance(sizes[1], int) and sizes[1] != len(gamma)):
        raise RefusalError(f"its parameters are for {len(gamma)} channels, its input has others")
    shape = (1, -1, *(1,) * (len(sizes) - 2))
    affine = Affine(affine.scale.reshape(shape), affine.shift.reshape(shape))
    deviation = np.sqrt(var.astype(np.float64) + eps).reshape(shape)
    return AffineSite([node], 0, affine, mean.astype(np.float64).reshape(shape), deviation)


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


def _elementwise(node: ir.Node, reader: Callable[[Array, bool], Affine]) -> AffineSite:
    constants = [is_constant(value) for value in node.inputs]
    if constants.count(True) != 1 or len(constants) != 2:
        raise RefusalError(f"{described(node)} does not combine a tensor with a constant")
    which = constants.index(True)
    source = node.inputs[1 - which]
    if source is None or source.dtype not in FLOATS:
        raise RefusalError(f"{described(node)} does not compute with floats")
    array = constant(node.inputs[which], f"the constant of {described(node)}")
    operand = aligned(array.astype(np.float64), source, node)
    if not np.isfinite(operand).all():
        raise RefusalError(f"the constant of {described(node)} is not finite")
    affine = reader(operand, which == 0)
    return AffineSite([node], 1 - which, affine, *_assumed(affine))


def aligned(operand: Array, source: ir.Value, node: ir.Node) -> Array:
    """A constant with as many axes as the tensor, if it does not make the tensor larger.

    Raises:
        RefusalError: It does.
    """
    sizes = dims(source)
    if operand.ndim > len(sizes):
        raise RefusalError(f"the constant of {described(node)} has more axes than its tensor")
    aligned = operand.reshape((1,) * (len(sizes) - operand.ndim) + operand.shape)
    for mine, theirs in zip(aligned.shape, sizes, strict=True):
        if mine not in {1, theirs}:
            raise RefusalError(f"the constant of {described(node)} makes its tensor larger")
    return aligned


def _assumed(affine: Affine) -> tuple[Array, Array]:
    """Mean and deviation of what an affine reads, if it is there to normalise.

    A chain of Mul and Add does not say what it normalised; what it puts out has a mean near 0 and
    a deviation near 1, if it was a batch norm. A scale far below those of the other channels does
    not say that this one is large, but that it is dead.
    """
    magnitude = np.abs(affine.scale)
    usual = np.median(magnitude[magnitude > 0]) if magnitude.any() else 1.0
    least = max(float(usual) / LARGEST_SPREAD, 1 / LARGEST_NUMBERS)
    deviation = 1 / np.maximum(magnitude, least)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        mean = np.nan_to_num(-affine.shift / affine.scale)
    return np.clip(mean, -deviation, deviation), deviation


def _multiplied(operand: Array, _: bool) -> Affine:
    return Affine(operand, _nothing(operand).shift)


def _added(operand: Array, _: bool) -> Affine:
    return Affine(_nothing(operand).scale, operand)


def _subtracted(operand: Array, constant_first: bool) -> Affine:
    ones = _nothing(operand).scale
    return Affine(-ones, operand) if constant_first else Affine(ones, -operand)


def _divided(operand: Array, constant_first: bool) -> Affine:
    if constant_first or (operand == 0).any():
        raise RefusalError("a division by a tensor, or by zero, is no affine")
    with np.errstate(over="ignore"):
        scale = 1 / operand
    if not np.isfinite(scale).all():
        raise RefusalError("a division by a number so small is no affine")
    return Affine(scale, _nothing(operand).shift)


def _nothing(operand: Array) -> Affine:
    """What changes nothing is the same everywhere, wherever the operand varies."""
    return Affine.identity(operand.ndim)


# What each computes with its constant, and whether that is its first operand.
_ELEMENTWISE: Mapping[str, Callable[[Array, bool], Affine]] = {
    "Mul": _multiplied,
    "Add": _added,
    "Sub": _subtracted,
    "Div": _divided,
}
