"""A second opinion: small graphs in float64 by PyTorch, which shares no code with the fold."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.folding import Mode
from tests.export.graphs import count, folded, normal, relative_error
from tests.export.oracle_operators import OPERATORS

Array = NDArray[np.float64]


def evaluate(proto: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> Array:
    """The first output of a model, all arithmetic in float64."""
    return evaluate_all(proto, feeds)[0]


def evaluate_all(proto: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> list[Array]:
    """The outputs of a model, all arithmetic in float64."""
    values = evaluate_inside(proto, feeds)
    return [values[output.name] for output in proto.graph.output]


def evaluate_inside(proto: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> dict[str, Array]:
    """Every tensor of a model by name, all arithmetic in float64."""
    opset = next(one.version for one in proto.opset_import if one.domain == "")
    arrays = {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer}
    values = {name: _tensor(array) for name, array in {**arrays, **feeds}.items()}
    for node in proto.graph.node:
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        attributes |= {"opset": opset, "outputs": len(node.output)}
        operands = [values[name] if name else None for name in node.input]
        results = OPERATORS[node.op_type](attributes, *operands)
        several = results if isinstance(results, tuple) else (results,)
        values.update(zip(node.output, several, strict=False))
    return {name: tensor.numpy() for name, tensor in values.items()}


def error_after_fold(proto: onnx.ModelProto, *shape: int) -> float:
    """Fold, demand that no batch norm is left, and return the relative error that this made."""
    after, report = folded(proto)
    assert report.bn_before > report.bn_after == 0
    assert count(after, "BatchNormalization") == 0
    return difference(proto, after, normal(*shape, seed=9))


def error_of_fold(proto: onnx.ModelProto, *shape: int, mode: Mode = "all") -> float:
    """Fold, whatever is left, and return the relative error that this made."""
    return difference(proto, folded(proto, mode)[0], normal(*shape, seed=9))


def difference(proto: onnx.ModelProto, after: onnx.ModelProto, x: NDArray[Any]) -> float:
    """The largest relative error between the outputs of two models of one input ``x``."""
    pairs = zip(evaluate_all(proto, {"x": x}), evaluate_all(after, {"x": x}), strict=True)
    return max(relative_error(expected, actual) for expected, actual in pairs)


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    wide = array if array.dtype.kind in "biu" else array.astype(np.float64)
    return torch.from_numpy(np.array(wide))
