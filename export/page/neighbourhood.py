"""The part of a graph around one node that fits into a picture; reads the graph, draws nothing."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from export.folding.constants import label

Role = Literal["plain", "affine", "blocker", "input", "output"]

REACH = 2  # nodes up and down: what an affine could have moved into, and what is behind that
MOST_AT_ONCE = 4  # neighbours of one node; a wider picture is not read on any screen
MOST_NODES = 24  # in all; as many as fit a page
LONGEST_WAY = 8  # nodes to the one that forbids the move; a longer way is told, not drawn
DEEPEST_CONSTANT = 4  # operators that carry a parameter: Expand(CastLike(Identity(weight)))


@dataclass(frozen=True)
class Box:
    """A node, or an input or output of the graph.

    Attributes:
        role: What it is in this picture.
        title: The operator, or "Input" or "Output".
        name: As the report calls it.
        shape: Of its first output, like ``N x 64 x 56 x 56``; empty where it is not known.
        more_sources: How many tensors it reads that come from outside the picture.
        more_readers: How many nodes outside the picture read what it puts out.
    """

    role: Role
    title: str
    name: str
    shape: str = ""
    more_sources: int = 0
    more_readers: int = 0


@dataclass(frozen=True)
class Neighbourhood:
    """Boxes, and edges between them as pairs of indices, from source to reader."""

    boxes: tuple[Box, ...]
    edges: tuple[tuple[int, int], ...]


def around(centre: ir.Node, blockers: Collection[str] = ()) -> Neighbourhood:
    """The neighbourhood of a node.

    Args:
        centre: The node that is to be shown.
        blockers: Names of nodes that forbid a move. Those within reach are shown with the way
            to them.
    """
    nodes = _nodes(centre, set(blockers))
    index = {node: number for number, node in enumerate(nodes)}
    boxes = [_box(node, centre, blockers, index) for node in nodes]
    edges = {(index[source], index[node]) for node in nodes for source in _sources(node, index)}
    for node in nodes:
        for value in _graph_inputs(node)[:MOST_AT_ONCE]:
            boxes.append(Box("input", "Input", value.name or "", _shape(value)))
            edges.add((len(boxes) - 1, index[node]))
        for value in _graph_outputs(node)[:MOST_AT_ONCE]:
            boxes.append(Box("output", "Output", value.name or "", _shape(value)))
            edges.add((index[node], len(boxes) - 1))
    return Neighbourhood(tuple(boxes), tuple(sorted(edges)))


def _nodes(centre: ir.Node, blockers: set[str]) -> list[ir.Node]:
    """The nodes to show, the centre first, none of them twice."""
    shown = dict.fromkeys([centre, *_way(centre, blockers)])
    for step in (_producers, _readers):
        layer = [centre]
        for _ in range(REACH):
            layer = [near for node in layer for near in step(node)[:MOST_AT_ONCE]]
            shown.update(dict.fromkeys(layer))
    return list(shown)[:MOST_NODES]


def _way(centre: ir.Node, blockers: set[str]) -> list[ir.Node]:
    """The nodes on the shortest ways from the centre to those that forbid its move."""
    before: dict[ir.Node, ir.Node | None] = {centre: None}
    waiting, found = deque([(centre, 0)]), list[ir.Node]()
    while waiting:
        node, steps = waiting.popleft()
        if node is not centre and label(node) in blockers:
            found.append(node)
        for near in (*_producers(node), *_readers(node)) if steps < LONGEST_WAY else ():
            if near not in before:
                before[near] = node
                waiting.append((near, steps + 1))
    return [step for node in found for step in _back(node, before)]


def _back(node: ir.Node | None, before: dict[ir.Node, ir.Node | None]) -> Iterator[ir.Node]:
    while node is not None:
        yield node
        node = before[node]


def _producers(node: ir.Node) -> list[ir.Node]:
    """The nodes that compute what a node reads, its parameters left out."""
    found = (value.producer() for value in _data(node))
    return list(dict.fromkeys(source for source in found if source is not None))


def _readers(node: ir.Node) -> list[ir.Node]:
    """The nodes that read what a node puts out."""
    return list(dict.fromkeys(use.node for value in node.outputs for use in value.uses()))


def _data(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.inputs if value is not None and not _is_constant(value)]


def _graph_inputs(node: ir.Node) -> list[ir.Value]:
    return [value for value in _data(node) if value.is_graph_input()]


def _graph_outputs(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.outputs if value.is_graph_output()]


def _is_constant(value: ir.Value, depth: int = 0) -> bool:
    if value.is_initializer():
        return True
    node = value.producer()
    if node is None or depth > DEEPEST_CONSTANT:
        return False
    return all(one is None or _is_constant(one, depth + 1) for one in node.inputs)


def _sources(node: ir.Node, shown: Collection[ir.Node]) -> list[ir.Node]:
    return [source for source in _producers(node) if source in shown]


def _box(
    node: ir.Node, centre: ir.Node, blockers: Collection[str], shown: Collection[ir.Node]
) -> Box:
    role: Role = "blocker" if label(node) in blockers else "plain"
    return Box(
        "affine" if node is centre else role,
        node.op_type,
        label(node),
        _shape(node.outputs[0]) if node.outputs else "",
        sum(source not in shown for source in _producers(node)) + _beyond(_graph_inputs(node)),
        sum(reader not in shown for reader in _readers(node)) + _beyond(_graph_outputs(node)),
    )


def _beyond(values: Sequence[ir.Value]) -> int:
    """How many of a node's inputs or outputs of the graph are not drawn."""
    return max(0, len(values) - MOST_AT_ONCE)


def _shape(value: ir.Value) -> str:
    if value.shape is None:
        return ""
    sizes = (size if isinstance(size, int) else size.value for size in value.shape.dims)
    return (
        " \N{MULTIPLICATION SIGN} ".join("?" if size is None else str(size) for size in sizes)
        or "scalar"
    )
