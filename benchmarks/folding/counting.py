"""What is left of batch norm in a graph: nodes counted, nothing computed.

A tool can remove a BatchNormalization and leave its arithmetic behind in other operators. So
besides batch norms these are counted:

- affines: Mul, Add, Sub and Div by a constant with one number a channel;
- clamps: Max, Min and Clip-like operators with one number a channel, what a ReLU becomes that has
  absorbed a batch norm;
- depthwise: depthwise convolutions whose kernel is one point, which are a batch norm by another
  name. ONNX Runtime writes batch norms so that it does not fold.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import onnx

ARITHMETIC = frozenset({"Mul", "Add", "Sub", "Div"})
CLAMPS = frozenset({"Max", "Min"})
PRODUCTS = frozenset({"MatMul", "Gemm"})
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Counts:
    """What stands in a graph, subgraphs and functions included.

    Attributes:
        batch_norms: BatchNormalization nodes.
        affines: Mul, Add, Sub and Div with one constant number a channel; the bias behind a matrix
            product is none.
        clamps: Max and Min with one constant number a channel.
        depthwise: Depthwise convolutions of one point.
        nodes: All nodes but constants.
    """

    batch_norms: int
    affines: int
    clamps: int
    depthwise: int
    nodes: int


def count(model: onnx.ModelProto) -> Counts:
    """Count what is left of batch norm in a model."""
    graphs = [model.graph, *model.functions]
    nodes = [node for graph in graphs for node in _nodes(graph.node)]
    shapes = _constant_shapes(model, nodes)
    products = {node.output[0] for node in nodes if node.op_type in PRODUCTS}
    return Counts(
        batch_norms=sum(node.op_type == "BatchNormalization" for node in nodes),
        affines=sum(_is_affine(node, shapes, products) for node in nodes),
        clamps=sum(_is_clamp(node, shapes) for node in nodes),
        depthwise=sum(_is_pointwise_depthwise(node, shapes) for node in nodes),
        nodes=sum(node.op_type != "Constant" for node in nodes),
    )


def _nodes(nodes: "Iterator[onnx.NodeProto] | list[onnx.NodeProto]") -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            graphs = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
            for graph in graphs:
                yield from _nodes(graph.node)


def _constant_shapes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> dict[str, Shape]:
    """The shapes of what is constant, by name; what is computed from constants alone is one too.

    Its shape is that of its largest operand, which is right but for axes of size 1: those that an
    Unsqueeze adds, for example.
    """
    shapes = {one.name: tuple(one.dims) for one in model.graph.initializer}
    for node in nodes:
        if node.op_type == "Constant":
            tensors = [one.t for one in node.attribute if one.name == "value"]
            shapes[node.output[0]] = tuple(tensors[0].dims) if tensors else ()
        elif node.input and all(name in shapes for name in node.input if name):
            operands = [shapes[name] for name in node.input if name]
            shapes[node.output[0]] = max(operands, key=math.prod)
    return shapes


def _is_affine(node: onnx.NodeProto, shapes: dict[str, Shape], products: set[str]) -> bool:
    if node.op_type not in ARITHMETIC or not _has_one_row(node, shapes):
        return False
    is_bias = node.op_type == "Add" and any(name in products for name in node.input)
    return not is_bias


def _is_clamp(node: onnx.NodeProto, shapes: dict[str, Shape]) -> bool:
    return node.op_type in CLAMPS and _has_one_row(node, shapes)


def _has_one_row(node: onnx.NodeProto, shapes: dict[str, Shape]) -> bool:
    """Whether one operand is computed and another is constant, with one number a channel."""
    constants = [shapes[name] for name in node.input if name in shapes]
    return len(constants) == 1 < len(node.input) and _is_row(constants[0])


def _is_row(shape: Shape) -> bool:
    return sum(size > 1 for size in shape) == 1


def _is_pointwise_depthwise(node: onnx.NodeProto, shapes: dict[str, Shape]) -> bool:
    kernel = shapes.get(node.input[1], ()) if len(node.input) > 1 else ()
    return node.op_type == "Conv" and len(kernel) > 2 and kernel[0] > 1 and set(kernel[1:]) == {1}
