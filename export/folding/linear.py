"""The linear operators: how each absorbs an affine of its output, and what it needs for that.

`LINEAR` is the one place that knows; a new operator is one entry and its test. An entry raises
`RefusalError` with the reason if weight or bias is no constant, if the channels of the batch norm
are not the outputs of the operator, or if the folded numbers do not fit the type of the weight.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import DTypeLike

from export.folding import affine
from export.folding.affine import Array, ChannelAffine
from export.folding.matching import NdArray, RefusalError, constant, described, is_operator

MATRIX_RANK = 2  # rows and channels: where the last axis is the channel axis of a batch norm
KERNEL_RANK = 3  # the least a convolution's weight has: outputs, inputs and one axis of the kernel
GEMM_BROADCASTS_SINCE_OPSET = 7


@dataclass(frozen=True)
class Site:
    """Where an affine is to be absorbed.

    Attributes:
        node: The linear operator.
        path: The nodes between it and the batch norm, the nearest to the operator last.
        affine: What is to be absorbed.
        opset: The version of ONNX's operators.
    """

    node: ir.Node
    path: tuple[ir.Node, ...]
    affine: ChannelAffine
    opset: int


@dataclass(frozen=True)
class Folded:
    """The linear operator as it will be once it has absorbed the affine.

    Attributes:
        op_type: Conv, ConvTranspose or Gemm.
        attributes: Its attributes.
        data: What it reads.
        weight_name: What its weight was called.
        weight: The new weight, in the type of the old one.
        bias: The new bias, shape (C_out,), in the same type.
    """

    op_type: str
    attributes: tuple[ir.Attr, ...]
    data: ir.Value
    weight_name: str
    weight: NdArray
    bias: NdArray


def _conv(site: Site) -> Folded:
    weight, bias = _kernels(site), _bias(site)
    _check_channels(site, weight.shape[0])
    return _folded(site, affine.into_conv(_double(weight), bias, site.affine), weight.dtype, 0)


def _conv_transpose(site: Site) -> Folded:
    groups = site.node.attributes.get_int("group", 1)
    weight, bias = _kernels(site), _bias(site)
    _check_channels(site, weight.shape[1] * groups)
    numbers = affine.into_conv_transpose(_double(weight), bias, site.affine, groups)
    return _folded(site, numbers, weight.dtype, 1)


def _gemm(site: Site) -> Folded:
    if site.opset < GEMM_BROADCASTS_SINCE_OPSET:
        raise RefusalError(f"{described(site.node)} is of an opset older than 7")
    attributes = site.node.attributes
    beta = attributes.get_float("beta", 1.0)
    output_axis = 0 if attributes.get_int("transB", 0) else 1
    weight, bias = _matrix(site), _bias(site)
    _check_channels(site, weight.shape[output_axis])
    # alpha stays: it scales the product alone. beta is in the new bias.
    numbers = affine.into_matrix(_double(weight), beta * bias, site.affine, output_axis)
    kept = [a for name, a in attributes.items() if name != "beta"]
    return _folded(site, numbers, weight.dtype, output_axis, attributes=kept)


def _matmul(site: Site) -> Folded:
    if site.opset < GEMM_BROADCASTS_SINCE_OPSET:
        raise RefusalError(f"{described(site.node)} is of an opset older than 7")
    shape = site.node.outputs[0].shape
    if shape is None:
        raise RefusalError(f"the rank of the output of {described(site.node)} is not known")
    if shape.rank() != MATRIX_RANK:
        raise RefusalError(
            f"{described(site.node)} puts its channels on the last of {shape.rank()} axes, "
            "the batch norm reads them on axis 1"
        )
    weight, bias = _matrix(site), _added(site)
    _check_channels(site, weight.shape[1])
    numbers = affine.into_matrix(_double(weight), bias, site.affine, 1)
    return _folded(site, numbers, weight.dtype, 1, "Gemm")


# What absorbs an affine of its output, and how. Order: as the report lists them.
LINEAR: Mapping[str, Callable[[Site], Folded]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
}


def _folded(
    site: Site,
    numbers: tuple[Array, Array],
    dtype: DTypeLike,
    output_axis: int,
    op_type: str | None = None,
    attributes: Iterable[ir.Attr] | None = None,
) -> Folded:
    data, old_weight = site.node.inputs[:2]
    if data is None or old_weight is None:  # pragma: no cover - the checker refuses such a graph
        raise RefusalError(f"{described(site.node)} lacks an operand")
    try:
        weight = affine.cast(numbers[0], dtype, output_axis)
        bias = affine.cast(numbers[1], dtype)
    except affine.InexactError as error:
        raise RefusalError(f"{error} of {described(site.node)}") from error
    name = old_weight.name or "weight"
    if attributes is None:
        attributes = site.node.attributes.values()
    return Folded(op_type or site.node.op_type, tuple(attributes), data, name, weight, bias)


def _kernels(site: Site) -> NdArray:
    """The weight of a convolution, shape (., ., *kernel)."""
    weight = _weight(site)
    if weight.ndim < KERNEL_RANK:
        raise RefusalError(f"the weight of {described(site.node)} has {weight.ndim} axes")
    return weight


def _matrix(site: Site) -> NdArray:
    """The weight of a matrix product that is one matrix, no vector and no stack of them."""
    weight = _weight(site)
    if weight.ndim != MATRIX_RANK:
        raise RefusalError(f"the weight of {described(site.node)} has {weight.ndim} axes, not two")
    return weight


def _weight(site: Site) -> NdArray:
    operand = site.node.inputs[1] if len(site.node.inputs) > 1 else None
    return constant(operand, f"the weight of {described(site.node)}")


def _bias(site: Site) -> Array:
    """The bias of a linear operator, its third operand, as shape (C_out,)."""
    operand = site.node.inputs[2] if len(site.node.inputs) > 2 else None
    return _row(operand, site, site.node)


def _added(site: Site) -> Array:
    """The constant that an Add between a MatMul and the batch norm adds, as shape (C_out,)."""
    for node in site.path:
        if is_operator(node, "Add"):
            product = site.node.outputs[0]
            (operand,) = (value for value in node.inputs if value is not product)
            return _row(operand, site, node)
    return np.zeros(site.affine.channels)


def _row(value: ir.Value | None, site: Site, node: ir.Node) -> Array:
    """A bias of any shape that broadcasts to one row of outputs, as shape (C_out,)."""
    channels = site.affine.channels
    if value is None:
        return np.zeros(channels)
    bias = _double(constant(value, f"the bias of {described(node)}"))
    try:
        return np.broadcast_to(bias, (1, channels)).reshape(channels)
    except ValueError as error:
        raise RefusalError(
            f"the bias of {described(node)} has shape {list(bias.shape)}, "
            f"not one number for each of {channels} channels"
        ) from error


def _double(array: NdArray) -> Array:
    return array.astype(np.float64)


def _check_channels(site: Site, outputs: int) -> None:
    if outputs != site.affine.channels:
        raise RefusalError(
            f"{described(site.node)} has {outputs} outputs, "
            f"the batch norm has parameters for {site.affine.channels}"
        )
