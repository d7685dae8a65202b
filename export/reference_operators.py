"""Operators that ONNX's reference implementation computes differently from their specification.

Seen in onnx 1.23: BatchNormalization of the opsets 7 to 13 updates its statistics even in
inference, grouped ConvTranspose takes the wrong slices, and LRN normalises as many channels as the
batch has images. They stand here, in numpy; a case that
is not handled raises, and then another reference is taken.
"""

from collections.abc import Sequence
from itertools import starmap
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]


class BatchNormalization(OpRun):
    """Every opset's batch norm, in inference."""

    def _run(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        mean: Array,
        var: Array,
        epsilon: float | None = None,
        training_mode: int | None = None,
        is_test: int | None = None,
        spatial: int | None = None,
        **_: object,
    ) -> tuple[Array]:
        if training_mode or spatial == 0 or is_test == 0:
            raise NotImplementedError("only inference, one number a channel")
        shape = (-1, *(1,) * (x.ndim - 2))
        eps = np.float32(1e-5) if epsilon is None else epsilon
        deviation = np.sqrt(var + eps).reshape(shape)
        normal = (x - mean.reshape(shape)) / deviation
        return (normal * gamma.reshape(shape) + beta.reshape(shape),)


class ConvTranspose(OpRun):
    """Transposed convolution of any rank, with groups."""

    def _run(
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        auto_pad: str | None = None,
        dilations: Sequence[int] | None = None,
        group: int | None = None,
        output_padding: Sequence[int] | None = None,
        output_shape: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        **_: object,
    ) -> tuple[Array]:
        if auto_pad not in {None, "", "NOTSET"} or output_shape:
            raise NotImplementedError("only explicit pads")
        rank = x.ndim - 2
        ones = (1,) * rank
        full = _scattered(x, w, group or 1, tuple(strides or ones), tuple(dilations or ones))
        result = _cropped(
            full, tuple(pads or (0,) * 2 * rank), tuple(output_padding or (0,) * rank)
        )
        return (result if b is None else result + b.reshape(-1, *ones),)


def _scattered(
    x: Array, w: Array, groups: int, strides: tuple[int, ...], dilations: tuple[int, ...]
) -> Array:
    """Every input times the kernel, added up where it falls; shape (N, C_out, *full)."""
    batch, inputs, *sizes = x.shape
    per_group, *kernel = w.shape[1:]
    spans = [(n - 1) * s + 1 for n, s in zip(sizes, strides, strict=True)]
    full = [n + (k - 1) * d for n, k, d in zip(spans, kernel, dilations, strict=True)]
    out = np.zeros((batch, groups, per_group, *full), x.dtype)
    blocks = x.reshape(batch, groups, inputs // groups, *sizes)
    weights = w.reshape(groups, inputs // groups, per_group, *kernel)
    for offset in np.ndindex(*kernel):
        steps = zip(offset, dilations, spans, strides, strict=True)
        window = starmap(lambda o, d, n, s: slice(o * d, o * d + n, s), steps)
        taps = weights[(slice(None), slice(None), slice(None), *offset)]
        region: tuple[Any, ...] = (..., *window)
        out[region] += np.einsum("ngi...,gio->ngo...", blocks, taps)
    return out.reshape(batch, groups * per_group, *full)


def _cropped(full: Array, pads: tuple[int, ...], extra: tuple[int, ...]) -> Array:
    """`full` with `extra` zeros behind each axis, then without its pads."""
    grown = np.pad(full, [(0, 0), (0, 0), *((0, more) for more in extra[: full.ndim - 2])])
    rank = full.ndim - 2
    window = (slice(pads[axis], grown.shape[axis + 2] - pads[axis + rank]) for axis in range(rank))
    return grown[(slice(None), slice(None), *window)]


class LRN(OpRun):
    """Normalisation over `size` neighbouring channels."""

    def _run(
        self,
        x: Array,
        alpha: float | None = None,
        beta: float | None = None,
        bias: float | None = None,
        size: int = 1,
    ) -> tuple[Array]:
        before, after = (size - 1) // 2, size // 2
        padded = np.pad(x**2, [(0, 0), (before, after), *((0, 0),) * (x.ndim - 2)])
        channels = x.shape[1]
        total = sum(padded[:, shift : shift + channels] for shift in range(size))
        # Attributes come as float32, and so would their quotient.
        numbers = zip((alpha, beta, bias), (1e-4, 0.75, 1.0), strict=True)
        a, b, k = (float(default if given is None else given) for given, default in numbers)
        return (x / (k + a / size * total) ** b,)


OPERATORS: list[type[OpRun]] = [BatchNormalization, ConvTranspose, LRN]
