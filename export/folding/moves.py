"""The moves: where an affine may go, and under which condition.

A move is planned before anything is changed. Planning raises `RefusalError` with the reason;
applying a plan cannot fail.

So far there is one move, *backward*: the affine goes into the linear operator that computes what
the batch norm normalises, if nothing else reads that value, it is no output of the graph, and the
operator can absorb the affine exactly (`linear`).
"""

from dataclasses import dataclass

import onnx_ir as ir

from export.folding.linear import LINEAR, Folded, Site
from export.folding.matching import (
    ONNX_DOMAINS,
    BatchNorm,
    RefusalError,
    described,
    is_operator,
)


@dataclass(frozen=True)
class Backward:
    """A planned backward move.

    Attributes:
        removed: The nodes that go, from the batch norm back to the linear operator.
        folded: The one node that stands there instead.
    """

    removed: tuple[ir.Node, ...]
    folded: Folded


def plan_backward(bn: BatchNorm, opset: int) -> Backward:
    """Plan the move of a batch norm into the linear operator before it.

    Raises:
        RefusalError: A precondition does not hold; the message says which and names the node.
    """
    node, path = _walk_back(bn)
    folded = LINEAR[node.op_type](Site(node, path, bn.affine, opset))
    return Backward((bn.node, *path, node), folded)


def _walk_back(bn: BatchNorm) -> tuple[ir.Node, tuple[ir.Node, ...]]:
    """Find the linear operator behind a batch norm, and the nodes between the two."""
    path: list[ir.Node] = []
    reader, value = bn.node, bn.source
    while True:
        node = _sole_producer(value, reader)
        if node.domain in ONNX_DOMAINS and node.op_type in LINEAR:
            return node, tuple(path)
        path.append(node)
        reader, value = node, _passed_through(node)


def _sole_producer(value: ir.Value, reader: ir.Node) -> ir.Node:
    """The node that computes a value seen by `reader` alone, in the graph of `reader`."""
    node = value.producer()
    if node is None:
        raise RefusalError(f"it reads the input '{value.name}': there is no operator before it")
    if node.graph is not reader.graph:
        raise RefusalError(f"{described(node)} before it stands outside the subgraph it is in")
    if value.is_graph_output():
        raise RefusalError(f"the output of {described(node)} is also an output of the graph")
    for use in value.uses():
        if use.node is not reader:
            raise RefusalError(
                f"the output of {described(node)} is also read by {described(use.node)}"
            )
    if len(value.uses()) > 1:
        raise RefusalError(f"the output of {described(node)} is read twice by {described(reader)}")
    return node


def _passed_through(node: ir.Node) -> ir.Value:
    """The operand through which the search for a linear operator goes on."""
    if is_operator(node, "Identity") and node.inputs[0] is not None:
        return node.inputs[0]
    if is_operator(node, "Add"):
        for operand in node.inputs:
            producer = operand.producer() if operand is not None else None
            if operand is not None and producer is not None and is_operator(producer, "MatMul"):
                return operand
    raise RefusalError(
        f"it follows {described(node)}, which is not a linear operator with constant weights "
        f"({', '.join(LINEAR)})"
    )
