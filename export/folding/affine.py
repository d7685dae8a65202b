"""The algebra of folding: channel affines and the weights that absorb them.

Arrays in, arrays out, all in float64; no graph types. A batch norm in inference mode is the affine
``y = scale * x + shift`` of every channel (Ioffe & Szegedy 2015, algorithm 2):

    scale = gamma / sqrt(running_var + eps)        shift = beta - running_mean * scale

A linear operator ``x = W * u + b`` in front of it takes the affine in without a trace:
``y = (scale . W) * u + (scale . b + shift)``. `cast` rounds once, at the very end.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[np.float64]


class InexactError(ValueError):
    """The result cannot be stored in the type asked for."""


@dataclass(frozen=True)
class ChannelAffine:
    """The affine ``y = scale * x + shift`` along one axis.

    Attributes:
        scale: Factor of every channel, shape (C,), float64.
        shift: What is added to every channel, shape (C,), float64.
    """

    scale: Array
    shift: Array

    @property
    def channels(self) -> int:
        """The number of channels C."""
        return int(self.scale.shape[0])

    def after(self, first: "ChannelAffine") -> "ChannelAffine":
        """The one affine that does `first` and then this one."""
        return ChannelAffine(self.scale * first.scale, self.scale * first.shift + self.shift)


def batch_norm(
    gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float
) -> ChannelAffine:
    """The affine that a batch norm is in inference mode.

    Args:
        gamma: Learnt scale, shape (C,).
        beta: Learnt shift, shape (C,).
        running_mean: Population mean, shape (C,).
        running_var: Population variance, shape (C,).
        eps: What is added to the variance.

    Raises:
        ValueError: A variance plus eps is not positive, or a parameter is not finite.
    """
    variance = np.asarray(running_var, np.float64) + eps
    if not (variance > 0).all():
        channel = np.flatnonzero(~(variance > 0))[0]
        raise ValueError(f"running variance + epsilon is {variance[channel]} in channel {channel}")
    scale = np.asarray(gamma, np.float64) / np.sqrt(variance)
    shift = np.asarray(beta, np.float64) - np.asarray(running_mean, np.float64) * scale
    finite = np.isfinite(scale) & np.isfinite(shift)
    if not finite.all():
        raise ValueError(f"a parameter is not finite in channel {np.flatnonzero(~finite)[0]}")
    return ChannelAffine(scale, shift)


def into_conv(weight: Array, bias: Array, affine: ChannelAffine) -> tuple[Array, Array]:
    """Take an affine of the output into a convolution, grouped and depthwise ones included.

    Args:
        weight: Kernels, shape (C_out, C_in / groups, *kernel).
        bias: Shape (C_out,).
        affine: Of the C_out output channels.

    Returns:
        The new weight and bias, shaped like the old.
    """
    return _scaled(weight, affine.scale, axis=0), affine.scale * bias + affine.shift


def into_conv_transpose(
    weight: Array, bias: Array, affine: ChannelAffine, groups: int
) -> tuple[Array, Array]:
    """Take an affine of the output into a transposed convolution.

    Args:
        weight: Kernels, shape (C_in, C_out / groups, *kernel): the output channel is spread over
            the groups, which are consecutive blocks of axis 0.
        bias: Shape (C_out,).
        affine: Of the C_out output channels.
        groups: Number of groups.

    Returns:
        The new weight and bias, shaped like the old.
    """
    inputs, per_group = weight.shape[:2]
    kernel = (1,) * (weight.ndim - 2)
    scale = affine.scale.reshape(groups, 1, per_group, *kernel)
    blocks = weight.reshape(groups, inputs // groups, *weight.shape[1:])
    return (blocks * scale).reshape(weight.shape), affine.scale * bias + affine.shift


def into_matrix(
    weight: Array, bias: Array, affine: ChannelAffine, output_axis: int
) -> tuple[Array, Array]:
    """Take an affine of the output into a matrix product ``u @ weight + bias``.

    Args:
        weight: Shape (C_in, C_out), or (C_out, C_in) when it is stored transposed.
        bias: Shape (C_out,).
        affine: Of the C_out output channels.
        output_axis: The axis of `weight` that counts the outputs, 0 or 1.

    Returns:
        The new weight and bias, shaped like the old.
    """
    return _scaled(weight, affine.scale, output_axis), affine.scale * bias + affine.shift


def cast(values: Array, dtype: DTypeLike, channel_axis: int | None = None) -> NDArray[np.generic]:
    """Round float64 values to `dtype`, once, and only if that keeps them.

    Args:
        values: What was computed.
        dtype: The type that the operator stores.
        channel_axis: The axis of the output channels; given for weights.

    Raises:
        InexactError: A value overflows, or a whole channel of float16 weights falls below the
            smallest normal number (6e-5) and so loses digits that weight and batch norm had apart.
            (The wider types end at 1e-38, which no output can tell from zero.)
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype)
    name = rounded.dtype.name
    if not np.isfinite(rounded.astype(np.float64)).all():
        raise InexactError(f"the folded values overflow {name}")
    if channel_axis is not None and rounded.dtype == np.float16:
        others = tuple(axis for axis in range(values.ndim) if axis != channel_axis)
        largest = np.abs(values).max(axis=others)
        if ((largest > 0) & (largest < np.finfo(np.float16).tiny)).any():
            raise InexactError(f"the folded weights of a channel underflow {name}")
    return rounded


def _scaled(weight: Array, scale: Array, axis: int) -> Array:
    shape = [1] * weight.ndim
    shape[axis] = -1
    return weight * scale.reshape(shape)
