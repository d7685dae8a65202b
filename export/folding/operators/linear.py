"""Linear operators absorb an affine of their input and one of their output into their weights.

Conv 1-D to 3-D, grouped and depthwise, ConvTranspose, Gemm, and MatMul with a constant matrix
(https://onnx.ai/onnx/operators). Zero padding puts zeros beside what is stored: behind it the zero
of the input must be stored as zero, so only scales pass.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from export.folding import affine
from export.folding.affine import Affine, Array
from export.folding.constants import RefusalError, constant, is_constant
from export.folding.draft import check_rounds, dims, doubled
from export.folding.gauge import per_channel
from export.folding.operators.operator import (
    Balance,
    Gauges,
    Operator,
    Rewriting,
    Spot,
    Step,
)

BIAS = 2  # the operand of Conv, ConvTranspose and Gemm
MATRIX_RANK = 2
KERNEL_RANK = 3  # the least a convolution's weight has: outputs, inputs and one axis of the kernel
CHANNELS = 1  # the axis of a convolution
GEMM_BROADCASTS_SINCE_OPSET = 7


@dataclass(frozen=True)
class _Ends:
    """What a linear operator has to absorb; checked, nothing computed yet.

    Attributes:
        outputs: How many outputs it has.
        output_axis: The axis of the weight that counts them.
        read: From stored to true at the input, shape (C_in,); None where that is as it is.
        written: From true to stored at the output, shape (C_out,), likewise.
    """

    outputs: int
    output_axis: int
    read: Affine | None
    written: Affine | None


def _balancing(ends: Callable[[Spot], _Ends]) -> Balance:
    """Whatever is asked on either side, if the operator can take it."""

    def balance(spot: Spot) -> Iterator[Gauges]:
        ends(spot)
        around = (spot.operand(0), spot.output)
        yield {value: spot.gauges[value] for value in around if value in spot.gauges}

    return balance


def _ends(spot: Spot, sizes: tuple[int, int], axes: tuple[int, int], output_axis: int) -> _Ends:
    """The affines on both sides, along the axes `axes` of input and output."""
    before, after = spot.of(spot.operand(0)), spot.of(spot.output)
    where = spot.described
    _bias(spot, sizes[1])
    read = None if before is None else per_channel(before.decode, axes[0], sizes[0], where)
    written = None if after is None else per_channel(after.encode, axes[1], sizes[1], where)
    return _Ends(sizes[1], output_axis, read, written)


def _conv_ends(spot: Spot) -> _Ends:
    shape = _weight_shape(spot, KERNEL_RANK)
    groups = spot.node.attributes.get_int("group", 1)
    ends = _ends(spot, (shape[1] * groups, shape[0]), (CHANNELS, CHANNELS), 0)
    if ends.read is not None and not ends.read.only_scales and _is_padded(spot.node, shape[2:]):
        raise RefusalError(
            f"{spot.described} pads its input with zeros, which a shift would move", spot.node
        )
    return ends


def _conv(spot: Spot) -> Rewriting:
    ends = _conv_ends(spot)
    bias = _bias(spot, ends.outputs)
    if ends.read is None and ends.written is not None and ends.written.only_shifts:
        return _rewriting(spot, None, bias + ends.written.shift, ends)
    weight = _weight(spot)
    if ends.read is not None:
        groups = spot.node.attributes.get_int("group", 1)
        weight, bias = affine.before_conv(weight, bias, ends.read, groups)
    if ends.written is not None:
        weight, bias = affine.into_conv(weight, bias, ends.written)
    return _rewriting(spot, weight, bias, ends)


def _conv_transpose_ends(spot: Spot) -> _Ends:
    shape = _weight_shape(spot, KERNEL_RANK)
    outputs = shape[1] * spot.node.attributes.get_int("group", 1)
    ends = _ends(spot, (shape[0], outputs), (CHANNELS, CHANNELS), 1)
    if ends.read is not None and not ends.read.only_scales:
        raise RefusalError(
            f"{spot.described} spreads its input, and a shift of it not evenly", spot.node
        )
    return ends


def _conv_transpose(spot: Spot) -> Rewriting:
    ends, weight = _conv_transpose_ends(spot), _weight(spot)
    bias = _bias(spot, ends.outputs)
    if ends.read is not None:
        weight = affine.before_conv_transpose(weight, ends.read.scale)
    if ends.written is not None:
        groups = spot.node.attributes.get_int("group", 1)
        weight, bias = affine.into_conv_transpose(weight, bias, ends.written, groups)
    return _rewriting(spot, weight, bias, ends)


def _gemm_ends(spot: Spot) -> _Ends:
    if not _gemm_broadcasts(spot):
        raise RefusalError(f"{spot.described} is of an opset older than 7", spot.node)
    shape = _weight_shape(spot, MATRIX_RANK, MATRIX_RANK)
    attributes = spot.node.attributes
    output_axis = 0 if attributes.get_int("transB", 0) else 1
    input_axis = 0 if attributes.get_int("transA", 0) else 1
    return _ends(spot, (shape[1 - output_axis], shape[output_axis]), (input_axis, 1), output_axis)


def _gemm(spot: Spot) -> Rewriting:
    ends, weight, attributes = _gemm_ends(spot), _weight(spot), spot.node.attributes
    alpha, beta = attributes.get_float("alpha", 1.0), attributes.get_float("beta", 1.0)
    bias = beta * _bias(spot, ends.outputs)
    if ends.read is not None:
        weight, added = affine.before_matrix(
            weight, np.zeros(ends.outputs), ends.read, ends.output_axis
        )
        # alpha stays: it scales the product alone, and so what the bias takes from it.
        bias = bias + alpha * added
    if ends.written is not None:
        weight, bias = affine.into_matrix(weight, bias, ends.written, ends.output_axis)
    kept = [attribute for name, attribute in attributes.items() if name != "beta"]
    return _rewriting(spot, weight, bias, ends, Step("Gemm", attributes=kept))


def _matmul_ends(spot: Spot) -> _Ends:
    if not _gemm_broadcasts(spot):
        raise RefusalError(f"{spot.described} is of an opset older than 7", spot.node)
    if is_constant(spot.node.inputs[0]):
        raise RefusalError(f"{spot.described} has its constant matrix on the left", spot.node)
    shape = _weight_shape(spot, MATRIX_RANK, MATRIX_RANK)
    return _ends(spot, (shape[0], shape[1]), (-1, -1), 1)


def _matmul(spot: Spot) -> Rewriting:
    ends, weight = _matmul_ends(spot), _weight(spot)
    bias = np.zeros(ends.outputs)
    if ends.read is not None:
        weight, bias = affine.before_matrix(weight, bias, ends.read, 1)
    if ends.written is not None:
        weight, bias = affine.into_matrix(weight, bias, ends.written, 1)
    if not bias.any():
        return _rewriting(spot, weight, None, ends)
    if len(dims(spot.operand(0))) == MATRIX_RANK:
        return _rewriting(spot, weight, bias, ends, Step("Gemm"))
    product = _rewriting(spot, weight, None, ends).steps
    return Rewriting((*product, Step("Add", {1: bias})))


def _gemm_broadcasts(spot: Spot) -> bool:
    return spot.draft.opset >= GEMM_BROADCASTS_SINCE_OPSET


def _rewriting(
    spot: Spot, weight: Array | None, bias: Array | None, ends: _Ends, step: Step | None = None
) -> Rewriting:
    """What the operator becomes; None for a weight or bias that stays."""
    constants = {i: array for i, array in ((1, weight), (BIAS, bias)) if array is not None}
    dtype = spot.operand(0).dtype or spot.output.dtype
    if dtype is None:
        raise RefusalError(f"the type of {spot.described} is not known", spot.node)
    if weight is not None:
        check_rounds(weight, dtype, spot.node, ends.output_axis)
    if bias is not None:
        check_rounds(bias, dtype, spot.node)
    step = step or Step(spot.node.op_type)
    return Rewriting((Step(step.op_type, constants, step.attributes),))


def _weight_shape(spot: Spot, least: int, most: int | None = None) -> tuple[int, ...]:
    shape = constant(_weight_operand(spot), f"the weight of {spot.described}").shape
    if len(shape) < least or (most is not None and len(shape) > most):
        raise RefusalError(f"the weight of {spot.described} has {len(shape)} axes", spot.node)
    return shape


def _weight(spot: Spot) -> Array:
    return doubled(_weight_operand(spot), f"the weight of {spot.described}")


def _weight_operand(spot: Spot) -> ir.Value | None:
    return spot.node.inputs[1] if len(spot.node.inputs) > 1 else None


def _bias(spot: Spot, outputs: int) -> Array:
    """The third operand, of any shape that broadcasts to one row of outputs, as (C_out,)."""
    operand = spot.node.inputs[BIAS] if len(spot.node.inputs) > BIAS else None
    if operand is None:
        return np.zeros(outputs)
    bias = constant(operand, f"the bias of {spot.described}").astype(np.float64)
    try:
        return np.broadcast_to(bias, (1, outputs)).reshape(outputs)
    except ValueError as error:
        raise RefusalError(
            f"the bias of {spot.described} has shape {list(bias.shape)}, "
            f"not one number for each of {outputs} outputs",
            spot.node,
        ) from error


def _is_padded(node: ir.Node, kernel: tuple[int, ...]) -> bool:
    """Whether a convolution reads zeros beside its input."""
    auto_pad = node.attributes.get_string("auto_pad", "NOTSET")
    if auto_pad.startswith("SAME"):
        return any(size > 1 for size in kernel)
    return auto_pad != "VALID" and any(node.attributes.get_ints("pads", ()))


LINEAR = {
    "Conv": Operator(_balancing(_conv_ends), _conv),
    "ConvTranspose": Operator(_balancing(_conv_transpose_ends), _conv_transpose),
    "Gemm": Operator(_balancing(_gemm_ends), _gemm),
    "MatMul": Operator(_balancing(_matmul_ends), _matmul),
}
