"""ONNX's operators in float64 by PyTorch, as their specification has them.

https://onnx.ai/onnx/operators. Each takes its attributes, to which the version of the operators
(``opset``) and the number of outputs (``outputs``) are added, and its operands.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Attributes = Mapping[str, Any]


def _auto_pads(a: Attributes, sizes: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """The pads of a sliding window, those that ``auto_pad`` stands for worked out."""
    rank, mode = len(kernel), a.get("auto_pad", b"NOTSET").decode()
    if mode == "NOTSET":
        return list(a.get("pads", [0] * 2 * rank))
    if mode == "VALID":
        return [0] * 2 * rank
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    before, after = [], []
    for size, taps, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        steps = math.ceil(size / stride)
        total = max((steps - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
        small, large = total // 2, total - total // 2
        before.append(small if mode == "SAME_UPPER" else large)
        after.append(large if mode == "SAME_UPPER" else small)
    return before + after


def _padded(x: Tensor, pads: Sequence[int], fill: float = 0.0) -> Tensor:
    rank = len(pads) // 2
    pairs = [(pads[axis], pads[axis + rank]) for axis in reversed(range(rank))]
    return functional.pad(x, [side for pair in pairs for side in pair], value=fill)


def _conv(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    rank = w.dim() - 2
    x = _padded(x, _auto_pads(a, x.shape[2:], w.shape[2:]))
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


def _windows(a: Attributes, x: Tensor, fill: float) -> Tensor:
    """What every window of a pooling sees: (N, C, *out, *kernel)."""
    kernel = a["kernel_shape"]
    rank = len(kernel)
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    pads = _auto_pads(a, x.shape[2:], kernel)
    if a.get("ceil_mode", 0):
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        for i, (n, span, step) in enumerate(zip(x.shape[2:], spans, strides, strict=True)):
            pads[rank + i] += -(n + pads[i] + pads[rank + i] - span) % step
    x = _padded(x, pads, fill)
    for i, (k, step, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
        axis = 2 + i  # those before it have given their taps to the end
        out = (x.shape[axis] - (k - 1) * dilation - 1) // step + 1
        index = torch.arange(out)[:, None] * step + torch.arange(k) * dilation
        x = x.index_select(axis, index.reshape(-1))
        x = x.reshape(*x.shape[:axis], out, k, *x.shape[axis + 1 :]).movedim(axis + 1, -1)
    return x


def _max_pool(a: Attributes, x: Tensor) -> Tensor:
    taps = tuple(range(-len(a["kernel_shape"]), 0))
    return _windows(a, x, -math.inf).amax(taps)


def _average_pool(a: Attributes, x: Tensor) -> Tensor:
    taps = tuple(range(-len(a["kernel_shape"]), 0))
    total = _windows(a, x, 0.0).sum(taps)
    counted = _windows(a, torch.ones_like(x), float(a.get("count_include_pad", 0))).sum(taps)
    return total / counted


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


def _clip(
    a: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None
) -> Tensor:
    least = a.get("min", -math.inf) if low is None else float(low)
    most = a.get("max", math.inf) if high is None else float(high)
    return x.clamp(least, most)


def _ints(a: Attributes, name: str, operand: Tensor | None) -> list[int] | None:
    if operand is not None:
        return [int(number) for number in operand.reshape(-1)]
    return list(a[name]) if name in a else None


def _pad(
    a: Attributes,
    x: Tensor,
    pads: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    amounts = _ints(a, "pads", pads) or []
    named = _ints(a, "axes", axes) or list(range(x.dim()))
    widths = [(0, 0)] * x.dim()
    for i, axis in enumerate(named):
        widths[axis] = (amounts[i], amounts[i + len(named)])
    mode = a.get("mode", b"constant").decode()
    if mode == "constant":
        fill = a.get("value", 0.0) if value is None else float(value)
        return torch.from_numpy(np.pad(x.numpy(), widths, constant_values=fill))
    return torch.from_numpy(np.pad(x.numpy(), widths, mode=mode))


def _resize(
    a: Attributes,
    x: Tensor,
    _roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    """Those of its modes that PyTorch has: nearest by floor, linear on half pixels or corners."""
    mode, placed = a["mode"].decode(), a["coordinate_transformation_mode"].decode()
    if sizes is None:
        assert scales is not None
        size = [int(n * s) for n, s in zip(x.shape[2:], scales[2:].tolist(), strict=True)]
    else:
        size = [int(n) for n in sizes[2:]]
    if mode == "nearest":
        assert (placed, a["nearest_mode"]) == ("asymmetric", b"floor")
        return functional.interpolate(x, size, mode="nearest")
    name = {1: "linear", 2: "bilinear", 3: "trilinear"}[x.dim() - 2]
    return functional.interpolate(x, size, mode=name, align_corners=placed == "align_corners")


def _reduce(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduced(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
        named = _ints(a, "axes", axes) or list(range(x.dim()))
        return function(x, tuple(named), bool(a.get("keepdims", 1)))

    return reduced


def _reshape(_: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    sizes = [x.shape[i] if size == 0 else int(size) for i, size in enumerate(shape)]
    return x.reshape(sizes)


def _flatten(a: Attributes, x: Tensor) -> Tensor:
    return x.reshape(math.prod(x.shape[: a.get("axis", 1)]), -1)


def _squeeze(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    return x.squeeze(tuple(_ints(a, "axes", axes) or ()))


def _unsqueeze(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    for axis in sorted(_ints(a, "axes", axes) or ()):
        x = x.unsqueeze(axis)
    return x


def _transpose(a: Attributes, x: Tensor) -> Tensor:
    return x.permute(tuple(a.get("perm", range(x.dim() - 1, -1, -1))))


def _split(a: Attributes, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis, named = a.get("axis", 0), _ints(a, "split", sizes)
    return torch.split(x, named or x.shape[axis] // a["outputs"], axis)


def _slice(
    a: Attributes,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    begin, stop = (_ints(a, n, t) or [] for n, t in (("starts", starts), ("ends", ends)))
    array = x.numpy()
    named = _ints(a, "axes", axes) or list(range(len(begin)))
    by = _ints(a, "steps", steps) or [1] * len(begin)
    window = [slice(None)] * x.dim()
    for axis, start, end, step in zip(named, begin, stop, by, strict=True):
        window[axis] = slice(start, end, step)
    return torch.from_numpy(array[tuple(window)].copy())


def _cast(_: Attributes, x: Tensor) -> Tensor:
    return x


def _maximum(_: Attributes, *operands: Tensor) -> Tensor:
    return _fold_up(torch.maximum, operands)


def _minimum(_: Attributes, *operands: Tensor) -> Tensor:
    return _fold_up(torch.minimum, operands)


def _fold_up(function: Callable[[Tensor, Tensor], Tensor], operands: Sequence[Tensor]) -> Tensor:
    return list(itertools.accumulate(operands, function))[-1]


OPERATORS: dict[str, Callable[..., Tensor | tuple[Tensor, ...]]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": lambda _, x, w: x @ w,
    "BatchNormalization": _batch_norm,
    "Add": lambda _, x, y: x + y,
    "Sub": lambda _, x, y: x - y,
    "Mul": lambda _, x, y: x * y,
    "Div": lambda _, x, y: x / y,
    "Sum": lambda _, *operands: _fold_up(torch.add, operands),
    "Relu": lambda _, x: torch.relu(x),
    "Clip": _clip,
    "Max": _maximum,
    "Min": _minimum,
    "LeakyRelu": lambda a, x: functional.leaky_relu(x, a.get("alpha", np.float32(0.01))),
    "PRelu": lambda _, x, slope: torch.where(x < 0, slope * x, x),
    "Abs": lambda _, x: x.abs(),
    "Neg": lambda _, x: -x,
    "Sigmoid": lambda _, x: torch.sigmoid(x),
    "Tanh": lambda _, x: torch.tanh(x),
    "Identity": lambda _, x: x,
    "Dropout": lambda _, x, *__: x,
    "Cast": _cast,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": lambda a, *operands: torch.cat(operands, a["axis"]),
    "Split": _split,
    "Slice": _slice,
    "Shape": lambda _, x: torch.tensor(x.shape),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalMaxPool": lambda _, x: x.amax(tuple(range(2, x.dim())), keepdim=True),
    "GlobalAveragePool": lambda _, x: x.mean(tuple(range(2, x.dim())), keepdim=True),
    "ReduceMean": _reduce(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "ReduceMax": _reduce(lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    "ReduceSum": _reduce(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "Pad": _pad,
    "Resize": _resize,
}
