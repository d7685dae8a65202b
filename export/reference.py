"""An ONNX graph in float64: the reference where a model has no source but itself.

Every float in the graph (inputs, weights, constants, casts) is widened to float64 and the graph is
evaluated by ONNX's own reference implementation, in numpy: code that shares nothing with the fold
and nothing with ONNX Runtime.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from export.reference_operators import OPERATORS
from export.sources.original import Feeds, Reference

NAME = "float64 ONNX"
NARROW_FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
# Operators whose attribute `dtype` or `to` says what they put out.
TYPE_ATTRIBUTES = ("to", "dtype")
# The number constants of a Constant node, and of ConstantOfShape's `value`.
FLOAT_ATTRIBUTES = {"value_float": "value", "value_floats": "value"}


def in_float64(model: ir.Model) -> Reference:
    """The function that a model computes, in float64.

    Raises:
        Exception: Whatever the reference implementation raises on a model that it does not know.
    """
    evaluator = ReferenceEvaluator(ir.to_proto(widened(model)), new_ops=OPERATORS)

    def run(feeds: Feeds) -> list[NDArray[np.float64]]:
        wide = {name: _widen_array(array) for name, array in feeds.items()}
        with np.errstate(all="ignore"):  # its sigmoid overflows on the way to the right result
            return [np.asarray(output) for output in evaluator.run(None, wide)]

    return run


def widened(model: ir.Model) -> ir.Model:
    """A copy of a model in which every float is a float64."""
    wide = ir.from_proto(ir.to_proto(model))
    for graph in wide.graphs():
        for value in _values(graph):
            _widen_value(value)
        for node in graph:
            for attribute in list(node.attributes.values()):
                _widen_attribute(node, attribute)
    return wide


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _widen_value(value: ir.Value) -> None:
    if value.const_value is not None:
        value.const_value = _widen_tensor(value.const_value)
    if value.dtype in NARROW_FLOATS:
        value.dtype = ir.DataType.DOUBLE


def _widen_attribute(node: ir.Node, attribute: ir.Attr) -> None:
    if attribute.type == ir.AttributeType.TENSOR:
        node.attributes[attribute.name] = ir.AttrTensor(
            attribute.name, _widen_tensor(attribute.as_tensor())
        )
    elif attribute.name in FLOAT_ATTRIBUTES and node.op_type == "Constant":
        del node.attributes[attribute.name]
        numbers = np.array(attribute.value, np.float64)
        node.attributes["value"] = ir.AttrTensor("value", ir.tensor(numbers))
    elif attribute.name in TYPE_ATTRIBUTES and attribute.value in NARROW_FLOATS:
        node.attributes[attribute.name] = ir.AttrInt64(attribute.name, int(ir.DataType.DOUBLE))


def _widen_tensor(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    if tensor.dtype not in NARROW_FLOATS:
        return tensor
    return ir.tensor(tensor.numpy().astype(np.float64), name=tensor.name)


def _widen_array(array: NDArray[np.generic]) -> NDArray[np.generic]:
    return array if array.dtype.kind in "biu" else array.astype(np.float64)
