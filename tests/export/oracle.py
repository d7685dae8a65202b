"""A second opinion: small graphs in float64 by PyTorch, which shares no code with the fold."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional

from tests.export.graphs import count, folded, normal, relative_error

Attributes = Mapping[str, Any]


def evaluate(proto: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """The first output of a model, all arithmetic in float64."""
    arrays = {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer}
    values = {
        name: torch.from_numpy(np.array(array, np.float64))
        for name, array in {**arrays, **feeds}.items()
    }
    for node in proto.graph.node:
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        operands = [values[name] if name else None for name in node.input]
        values[node.output[0]] = OPERATORS[node.op_type](attributes, *operands)
    result: NDArray[np.float64] = values[proto.graph.output[0].name].numpy()
    return result


def error_after_fold(proto: onnx.ModelProto, *shape: int) -> float:
    """Fold, demand that no batch norm is left, and return the relative error that this made."""
    after, report = folded(proto)
    assert report.bn_before > report.bn_after == 0
    assert count(after, "BatchNormalization") == 0
    feeds = {"x": normal(*shape, seed=9)}
    return relative_error(evaluate(proto, feeds), evaluate(after, feeds))


def _padded(x: Tensor, pads: list[int]) -> Tensor:
    rank = len(pads) // 2
    pairs = [(pads[axis], pads[axis + rank]) for axis in reversed(range(rank))]
    return functional.pad(x, [side for pair in pairs for side in pair])


def _conv(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    rank = w.dim() - 2
    x = _padded(x, a.get("pads", [0] * 2 * rank))
    function: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    result: Tensor = function(
        x,
        w,
        b,
        stride=tuple(a.get("strides", [1] * rank)),
        dilation=tuple(a.get("dilations", [1] * rank)),
        groups=a.get("group", 1),
    )
    return result


def _conv_transpose(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    rank = w.dim() - 2
    function: Any = (
        functional.conv_transpose1d,
        functional.conv_transpose2d,
        functional.conv_transpose3d,
    )[rank - 1]
    pads = a.get("pads", [0] * 2 * rank)
    assert pads[:rank] == pads[rank:], "PyTorch knows symmetric pads alone"
    result: Tensor = function(
        x,
        w,
        b,
        stride=tuple(a.get("strides", [1] * rank)),
        dilation=tuple(a.get("dilations", [1] * rank)),
        groups=a.get("group", 1),
        padding=tuple(pads[:rank]),
        output_padding=tuple(a.get("output_padding", [0] * rank)),
    )
    return result


def _gemm(a: Attributes, x: Tensor, w: Tensor, c: Tensor | None = None) -> Tensor:
    x = x.T if a.get("transA") else x
    w = w.T if a.get("transB") else w
    product: Tensor = a.get("alpha", 1.0) * (x @ w)
    if c is not None:
        product = product + a.get("beta", 1.0) * c
    return product


def _batch_norm(
    a: Attributes, x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor
) -> Tensor:
    # An attribute is a float32; PyTorch takes it as it is.
    return functional.batch_norm(x, mean, var, gamma, beta, eps=a.get("epsilon", np.float32(1e-5)))


OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": lambda _, x, w: x @ w,
    "Add": lambda _, x, y: x + y,
    "Relu": lambda _, x: torch.relu(x),
    "Identity": lambda _, x: x,
    "BatchNormalization": _batch_norm,
}
