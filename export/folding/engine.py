"""The engine: every batch norm of a graph is folded exactly, or kept with a reason."""

from collections.abc import Iterator

import onnx_ir as ir
from onnx_ir.passes.common import (
    RemoveInitializersFromInputsPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
)

from export.folding.linear import Folded
from export.folding.matching import (
    OVERRIDABLE_SINCE_IR,
    NdArray,
    RefusalError,
    is_batch_norm,
    label,
    match_batch_norm,
)
from export.folding.moves import Backward, plan_backward
from export.folding.report import AffineOutcome, FoldReport


def fold(model: ir.Model) -> FoldReport:
    """Fold the batch norms of a model into its weights, in place.

    Whatever computes with the model computes the same afterwards, up to the rounding of the new
    weights: inputs and outputs keep their names, order, types and shapes. What would not be exact
    is left as it is.

    Args:
        model: A valid model whose tensors are in memory. One of IR version 3 is raised to 4,
            where initializers need not be inputs. Nodes that nobody reads are removed.

    Returns:
        The outcome of every BatchNormalization node, those in subgraphs and functions included.
    """
    _prepare(model)
    names = _taken_names(model)
    opset = opset_of(model)
    nodes = [_fold_one(node, opset, names) for node in batch_norms(model.graph)]
    nodes += [_in_function(node) for f in model.functions.values() for node in batch_norms(f)]
    _remove_dead(model)
    return FoldReport(tuple(nodes))


def batch_norms(graph: ir.Graph | ir.Function) -> list[ir.Node]:
    """The batch norms of a graph and its subgraphs, in order."""
    nodes: Iterator[ir.Node] = ir.traversal.RecursiveGraphIterator(graph)
    return [node for node in nodes if is_batch_norm(node)]


def opset_of(model: ir.Model) -> int:
    """The version of ONNX's own operators that a model uses; 1 where it names none."""
    imports = model.graph.opset_imports
    return imports.get("") or imports.get("ai.onnx") or 1


def _fold_one(node: ir.Node, opset: int, names: set[str]) -> AffineOutcome:
    try:
        plan = plan_backward(match_batch_norm(node, opset), opset)
    except RefusalError as refusal:
        return AffineOutcome(label(node), "batch_norm", "kept", reason=str(refusal))
    return AffineOutcome(label(node), "batch_norm", "folded_backward", into=(_apply(plan, names),))


def _in_function(node: ir.Node) -> AffineOutcome:
    reason = "it stands in a function of the model"
    return AffineOutcome(label(node), "batch_norm", "kept", reason=reason)


def _apply(plan: Backward, names: set[str]) -> str:
    """Put the folded operator in the place of what it replaces; return its name."""
    batch_norm, linear = plan.removed[0], plan.removed[-1]
    graph, old = batch_norm.graph, batch_norm.outputs[0]
    if not isinstance(graph, ir.Graph):  # pragma: no cover - functions are not folded into
        raise TypeError("a batch norm to fold stands in a graph")
    folded = plan.folded
    weight, bias = ir.Value(), ir.Value()
    output = ir.Value(name=old.name, shape=old.shape, type=old.type)
    node = ir.Node(
        linear.domain,
        folded.op_type,
        [folded.data, weight, bias],
        folded.attributes,
        outputs=[output],
        name=linear.name,
    )
    graph.insert_after(batch_norm, node)
    old.replace_all_uses_with(output, replace_graph_outputs=True)
    operands = [value for value in linear.inputs[1:] if value is not None]
    graph.remove(plan.removed, safe=True)
    names.difference_update([value.name for value in operands if _drop_unused(value)])
    _store(graph, folded, (weight, bias), names)
    return label(node)


def _store(
    graph: ir.Graph, folded: Folded, values: tuple[ir.Value, ir.Value], names: set[str]
) -> None:
    """Give the folded weight and bias their names and put them among the initializers."""
    name = folded.weight_name
    bias = f"{name.removesuffix('weight')}bias" if name.endswith("weight") else f"{name}_bias"
    # The name is free again unless something else still reads the weight as it was.
    weight = f"{name}_folded" if name in names else name
    _register(graph, values[0], folded.weight, _unique(weight, names))
    _register(graph, values[1], folded.bias, _unique(bias, names))


def _drop_unused(value: ir.Value) -> bool:
    """Take a weight that nobody reads any more out of its graph; say whether that was so."""
    graph = value.graph
    if not isinstance(graph, ir.Graph) or not value.is_initializer() or value.name is None:
        return False
    if value.uses() or value.is_graph_output() or value.is_graph_input():
        return False
    del graph.initializers[value.name]
    return True


def _register(graph: ir.Graph, value: ir.Value, array: NdArray, name: str) -> None:
    value.name = name
    value.const_value = ir.tensor(array, name=name)
    value.shape, value.dtype = ir.Shape(array.shape), value.const_value.dtype
    graph.register_initializer(value)


def _unique(wanted: str, names: set[str]) -> str:
    """`wanted`, with a number behind it if the model has that name already."""
    name, number = wanted, 1
    while name in names:
        number += 1
        name = f"{wanted}_{number}"
    names.add(name)
    return name


def _taken_names(model: ir.Model) -> set[str]:
    """Every name of a value in the model, subgraphs included: they share one name space."""
    taken: set[str] = set()
    for graph in model.graphs():
        values = [*graph.inputs, *graph.initializers.values()]
        values += [output for node in graph for output in node.outputs]
        taken.update(value.name for value in values if value.name)
    return taken


def raise_from_ir_3(model: ir.Model) -> None:
    """Bring a model of IR version 3 to 4, where initializers need not be listed as inputs."""
    if model.ir_version < OVERRIDABLE_SINCE_IR:
        RemoveInitializersFromInputsPass()(model)
        model.ir_version = OVERRIDABLE_SINCE_IR


def _prepare(model: ir.Model) -> None:
    """Bring a model to where initializers are constants, all nodes count and shapes are known."""
    raise_from_ir_3(model)
    _remove_dead(model)
    promised = [output.shape for output in model.graph.outputs]
    ShapeInferencePass(strict_mode=False, check_type=False)(model)
    for output, shape in zip(model.graph.outputs, promised, strict=True):
        output.shape = shape


def _remove_dead(model: ir.Model) -> None:
    """Remove what nobody reads any more."""
    RemoveUnusedNodesPass()(model)
    for graph in model.graphs():
        for value in list(graph.initializers.values()):
            _drop_unused(value)
