"""The algebra of folding: affines, and the weights that absorb them.

Arrays in, arrays out, all in float64; no graph types. A batch norm in inference mode is the affine
``y = scale * x + shift`` of every channel (Ioffe & Szegedy 2015, algorithm 2):

    scale = gamma / sqrt(running_var + eps)        shift = beta - running_mean * scale

A linear operator ``x = W * u + b`` takes one in on either side without a trace:

    of its output, y = scale * x + shift:    W' = scale . W        b' = scale . b + shift
    of its input,  u = scale * v + shift:    W' = W . scale        b' = b + W * shift

`cast` rounds once, at the very end.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[np.float64]


class InexactError(ValueError):
    """The result cannot be stored in the type asked for."""


@dataclass(frozen=True, eq=False)
class Affine:
    """The affine ``y = scale * x + shift``, element by element.

    Attributes:
        scale: Factors, float64, a shape that broadcasts against x: (C,), (1, C, 1, 1) or any other.
        shift: What is added, of the same rank.
    """

    scale: Array
    shift: Array

    @classmethod
    def identity(cls, rank: int) -> "Affine":
        """The affine that changes nothing, for tensors of `rank` axes."""
        ones = np.ones((1,) * rank)
        return cls(ones, np.zeros_like(ones))

    def __call__(self, values: Array) -> Array:
        """``scale * values + shift``; zero times infinity is zero, for the bounds of a clamp."""
        with np.errstate(invalid="ignore"):
            product = np.where(self.scale == 0, 0.0, self.scale * values)
        return product + self.shift

    def after(self, first: "Affine") -> "Affine":
        """The one affine that does `first` and then this one."""
        return Affine(self.scale * first.scale, self.scale * first.shift + self.shift)

    def inverse(self) -> "Affine":
        """The affine that undoes this one.

        Raises:
            ZeroDivisionError: A scale is 0, or so small that 1 / scale overflows.
        """
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            scale = 1 / self.scale
            shift = -self.shift * scale
        if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
            raise ZeroDivisionError("a scale is zero")
        return Affine(scale, shift)

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.only_shifts and self.only_scales

    @property
    def only_scales(self) -> bool:
        """Whether every shift is 0."""
        return not self.shift.any()

    @property
    def only_shifts(self) -> bool:
        """Whether every scale is 1."""
        return bool((self.scale == 1).all())


def batch_norm(
    gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float
) -> Affine:
    """The affine that a batch norm is in inference mode.

    Args:
        gamma: Learnt scale, shape (C,).
        beta: Learnt shift, shape (C,).
        running_mean: Population mean, shape (C,).
        running_var: Population variance, shape (C,).
        eps: What is added to the variance.

    Returns:
        Scale and shift of shape (C,).

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
    return Affine(scale, shift)


def into_conv(weight: Array, bias: Array, affine: Affine) -> tuple[Array, Array]:
    """Take an affine of the output into a convolution, grouped and depthwise ones included.

    Args:
        weight: Kernels, shape (C_out, C_in / groups, *kernel).
        bias: Shape (C_out,).
        affine: Of the output, shape (C_out,).

    Returns:
        The new weight and bias, shaped like the old.
    """
    return _scaled(weight, affine.scale, axis=0), affine.scale * bias + affine.shift


def before_conv(weight: Array, bias: Array, affine: Affine, groups: int = 1) -> tuple[Array, Array]:
    """Take an affine of the input into a convolution.

    The shift is exact only where every tap of the kernel sees the input: without zero padding.

    Args:
        weight: Kernels, shape (C_out, C_in / groups, *kernel).
        bias: Shape (C_out,).
        affine: Of the input, shape (C_in,).
        groups: Number of groups, consecutive blocks of inputs and of outputs.

    Returns:
        The new weight and bias, shaped like the old.
    """
    outputs, per_group = weight.shape[:2]
    kernel = (1,) * (weight.ndim - 2)
    scale, shift = (
        np.repeat(part.reshape(groups, per_group), outputs // groups, axis=0)
        for part in (affine.scale, affine.shift)
    )
    summed = weight.sum(axis=tuple(range(2, weight.ndim)))
    return weight * scale.reshape(*scale.shape, *kernel), bias + (summed * shift).sum(axis=1)


def into_conv_transpose(
    weight: Array, bias: Array, affine: Affine, groups: int
) -> tuple[Array, Array]:
    """Take an affine of the output into a transposed convolution.

    Args:
        weight: Kernels, shape (C_in, C_out / groups, *kernel): the output channel is spread over
            the groups, which are consecutive blocks of axis 0.
        bias: Shape (C_out,).
        affine: Of the output, shape (C_out,).
        groups: Number of groups.

    Returns:
        The new weight and bias, shaped like the old.
    """
    inputs, per_group = weight.shape[:2]
    kernel = (1,) * (weight.ndim - 2)
    scale = affine.scale.reshape(groups, 1, per_group, *kernel)
    blocks = weight.reshape(groups, inputs // groups, *weight.shape[1:])
    return (blocks * scale).reshape(weight.shape), affine.scale * bias + affine.shift


def before_conv_transpose(weight: Array, scale: Array) -> Array:
    """Take a scale of the input, shape (C_in,), into a transposed convolution's weight.

    There is no exact shift: at its borders fewer taps overlap than inside.
    """
    return _scaled(weight, scale, axis=0)


def into_matrix(
    weight: Array, bias: Array, affine: Affine, output_axis: int
) -> tuple[Array, Array]:
    """Take an affine of the output into a matrix product ``u @ weight + bias``.

    Args:
        weight: Shape (C_in, C_out), or (C_out, C_in) when it is stored transposed.
        bias: Shape (C_out,).
        affine: Of the output, shape (C_out,).
        output_axis: The axis of `weight` that counts the outputs, 0 or 1.

    Returns:
        The new weight and bias, shaped like the old.
    """
    return _scaled(weight, affine.scale, output_axis), affine.scale * bias + affine.shift


def before_matrix(
    weight: Array, bias: Array, affine: Affine, output_axis: int
) -> tuple[Array, Array]:
    """Take an affine of the input, shape (C_in,), into a matrix product ``u @ weight + bias``.

    Args and returns as `into_matrix`.
    """
    scaled = _scaled(weight, affine.scale, 1 - output_axis)
    added = affine.shift @ (weight if output_axis == 1 else weight.T)
    return scaled, bias + added


def cast(values: Array, dtype: DTypeLike, channel_axis: int | None = None) -> NDArray[np.generic]:
    """Round float64 values to `dtype`, once, and only if that keeps them.

    Args:
        values: What was computed; infinities are bounds that do not bound, and stay.
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
    if (np.isinf(rounded.astype(np.float64)) & ~np.isinf(values)).any() or np.isnan(values).any():
        raise InexactError(f"the folded values overflow {name}")
    if channel_axis is not None and rounded.dtype == np.float16:
        others = tuple(axis for axis in range(values.ndim) if axis != channel_axis)
        largest = np.abs(values).max(axis=others)
        if ((largest > 0) & (largest < np.finfo(np.float16).tiny)).any():
            raise InexactError(f"the folded weights of a channel underflow {name}")
    return rounded


def fits(values: Array, dtype: DTypeLike, channel_axis: int | None = None) -> None:
    """Raise what `cast` would raise, without the copy where the type is wide.

    Args and raises as `cast`.
    """
    if np.dtype(dtype) in {np.dtype(np.float32), np.dtype(np.float64)}:
        with np.errstate(invalid="ignore"):
            largest = np.abs(values[~np.isinf(values)] if np.isinf(values).any() else values)
        if not largest.max(initial=0.0) <= np.finfo(np.dtype(dtype)).max:
            raise InexactError(f"the folded values overflow {np.dtype(dtype).name}")
        return
    cast(values, dtype, channel_axis)


def _scaled(weight: Array, scale: Array, axis: int) -> Array:
    if (scale == 1).all():
        return weight
    shape = [1] * weight.ndim
    shape[axis] = -1
    return weight * scale.reshape(shape)
