"""Bringing a model to where it can be folded: constants are constants, shapes are known.

What does nothing goes first: casts to the type that is there, identities, nodes that nobody reads.
"""

import onnx_ir as ir
from onnx_ir.passes.common import (
    InlinePass,
    RemoveInitializersFromInputsPass,
    RemoveUnusedNodesPass,
    ShapeInferencePass,
)

from export.folding.constants import is_operator
from export.folding.recognition import batch_norms

OVERRIDABLE_SINCE_IR = 4  # before, every initializer had to be listed as an input


def opset_of(model: ir.Model) -> int:
    """The version of ONNX's own operators that a model uses; 1 where it names none."""
    imports = model.graph.opset_imports
    return imports.get("") or imports.get("ai.onnx") or 1


def raise_from_ir_3(model: ir.Model) -> None:
    """Bring a model of IR version 3 to 4, where initializers need not be listed as inputs."""
    if model.ir_version < OVERRIDABLE_SINCE_IR:
        RemoveInitializersFromInputsPass()(model)
        model.ir_version = OVERRIDABLE_SINCE_IR


def prepare(model: ir.Model) -> None:
    """Bring a model to where initializers are constants, all nodes count and shapes are known.

    Functions that hold batch norms are inlined: each call has constants of its own.
    """
    raise_from_ir_3(model)
    if any(batch_norms(function) for function in model.functions.values()):
        InlinePass()(model)
    remove_dead(model)
    _infer_shapes(model)
    for graph in model.graphs():
        for node in list(graph):
            if is_operator(node, "Identity") or _is_idle_cast(node):
                _skip(node)
    remove_dead(model)


def remove_dead(model: ir.Model) -> None:
    """Remove what nobody reads any more."""
    RemoveUnusedNodesPass()(model)
    for graph in model.graphs():
        for name, value in list(graph.initializers.items()):
            if not (value.uses() or value.is_graph_output() or value.is_graph_input()):
                del graph.initializers[name]


def _infer_shapes(model: ir.Model) -> None:
    """Infer shapes, and leave those that the outputs promise as they are."""
    promised = [output.shape for output in model.graph.outputs]
    ShapeInferencePass(strict_mode=False, check_type=False)(model)
    for output, shape in zip(model.graph.outputs, promised, strict=True):
        output.shape = shape


def _is_idle_cast(node: ir.Node) -> bool:
    if not is_operator(node, "Cast"):
        return False
    source = node.inputs[0]
    return source is not None and source.dtype == node.attributes.get_int("to")


def _skip(node: ir.Node) -> None:
    """Let what reads a node read its source, unless the node writes an output of the graph."""
    source, output = node.inputs[0], node.outputs[0]
    if source is not None and not output.is_graph_output():
        output.replace_all_uses_with(source)
