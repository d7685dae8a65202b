"""Ways to subtract the mean of the pixels before a first convolution: their algebra, their graphs.

The scale of a normalization ``scale * (pixel - mean)`` goes into the weight, exactly. The mean can
go into the bias only where the convolution has no zero padding: its zeros mean "no pixel" after the
subtraction, and would have to be the mean before it. Every way here is exact with padding, too.
All arithmetic is float64, cast once; arrays are (outputs, inputs, kernel, kernel) and (inputs,).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import numpy_helper, parser

Array = NDArray[np.float64]

OPSET = 20


@dataclass(frozen=True)
class Stem:
    """A first convolution with ReLU, on square images, and perhaps a pooling behind it.

    Attributes:
        channels: Of the image.
        size: Height and width of the image, in pixels.
        filters: Outputs.
        kernel: Height and width of the kernel.
        stride: In both directions.
        padding: Zeros on every side.
        pool: Whether a MaxPool 3x3 of stride 2 follows.
    """

    channels: int
    size: int
    filters: int
    kernel: int
    stride: int
    padding: int
    pool: bool = False


@dataclass(frozen=True)
class Numbers:
    """What a stem computes with: ``conv(pixel - mean) + bias``, the scale is in the weight.

    Attributes:
        weight: Shape (filters, channels, kernel, kernel).
        bias: Shape (filters,).
        mean: Shape (channels,), in pixels of 0..255.
    """

    weight: Array
    bias: Array
    mean: Array


def convolve(image: Array, weight: Array, stride: int, padding: int) -> Array:
    """A zero-padded convolution of one image, (channels, H, W) to (filters, H', W')."""
    rim = (padding, padding)
    padded = np.pad(image, ((0, 0), rim, rim))
    windows = sliding_window_view(padded, weight.shape[2:], axis=(1, 2))
    result: Array = np.einsum("chwij,fcij->fhw", windows[:, ::stride, ::stride], weight)
    return result


def shifted_bias(numbers: Numbers) -> Array:
    """The bias that subtracts the mean, where every tap of the kernel sees a pixel."""
    bias: Array = numbers.bias - np.einsum("fcij,c->f", numbers.weight, numbers.mean)
    return bias


def with_ones_channel(numbers: Numbers) -> Array:
    """The weight for an image with one more channel, which is one everywhere.

    The convolution pads that channel with zeros as well, so nothing is subtracted at the border
    where nothing was added.
    """
    ones = -np.einsum("fcij,c->fij", numbers.weight, numbers.mean)
    return np.concatenate([numbers.weight, ones[:, np.newaxis]], axis=1)


def bias_map(numbers: Numbers, stem: Stem) -> Array:
    """What is added to the convolution of the pixels instead of a bias, (filters, H', W')."""
    means = np.broadcast_to(-numbers.mean[:, None, None], (stem.channels, stem.size, stem.size))
    mapped = convolve(means, numbers.weight, stem.stride, stem.padding)
    return mapped + numbers.bias[:, None, None]


def true_zero(numbers: Numbers) -> float:
    """The pixel that is zero after the subtraction, to pad with.

    Raises:
        ValueError: It is another one in another channel, and a Pad has one value.
    """
    if len(set(numbers.mean.tolist())) != 1:
        raise ValueError("the channels have different means")
    return float(numbers.mean[0])


def graphs(stem: Stem, numbers: Numbers) -> Mapping[str, onnx.ModelProto]:
    """A stem that takes bytes, once for every way that fits; all compute the same."""
    weight, bias, mean = numbers.weight, numbers.bias, numbers.mean
    rim = stem.padding
    own = _conv("n", "w, b", stem, rim)
    found = {
        "Sub and Mul stay": _graph(
            f"c = Sub(f, mean) n = Mul(c, half) {own}",
            {"w": 2 * weight, "b": bias, "mean": _channelwise(mean), "half": np.array(0.5)},
            stem,
        ),
        "one Add stays": _graph(
            f"n = Add(f, shift) {own}", {"w": weight, "b": bias, "shift": _channelwise(-mean)}, stem
        ),
        "channel of ones": _graph(
            f"n = Pad(f, more, one) {own}",
            {"w": with_ones_channel(numbers), "b": bias, "one": np.array(1.0)},
            stem,
            more=[0, 0, 0, 0, 0, 1, 0, 0],
        ),
        "bias map": _graph(
            f"{_conv('f', 'w', stem, rim, 'm')} r = Add(m, map)",
            {"w": weight, "map": bias_map(numbers, stem)[np.newaxis]},
            stem,
        ),
        "Pad with the mean": _graph(
            f"n = Pad(f, more, mean) {_conv('n', 'w, b', stem, 0)}",
            {"w": weight, "b": shifted_bias(numbers), "mean": np.array(true_zero(numbers))},
            stem,
            more=[0, 0, rim, rim, 0, 0, rim, rim],
        ),
    }
    if rim == 0:
        found["into the bias"] = _graph(
            _conv("f", "w, b", stem, 0), {"w": weight, "b": shifted_bias(numbers)}, stem
        )
    return found


def _channelwise(values: Array) -> Array:
    return values.reshape(1, -1, 1, 1)


def _conv(image: str, operands: str, stem: Stem, rim: int, output: str = "r") -> str:
    attributes = f"strides=[{stem.stride},{stem.stride}], pads=[{rim},{rim},{rim},{rim}]"
    return f"{output} = Conv<{attributes}>({image}, {operands})"


def _graph(
    body: str, arrays: Mapping[str, Array], stem: Stem, more: list[int] | None = None
) -> onnx.ModelProto:
    pool = "MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>" if stem.pool else "Identity"
    proto: onnx.ModelProto = parser.parse_model(
        f'<ir_version: 9, opset_import: ["" : {OPSET}]> stem'
        f" (uint8[n,{stem.size},{stem.size},{stem.channels}] pixels) => (float[n,c,h,v] y) {{"
        f" t = Transpose<perm=[0,3,1,2]>(pixels) f = Cast<to=1>(t)"
        f" {body} a = Relu(r) y = {pool}(a) }}"
    )
    constants = {name: array.astype(np.float32) for name, array in arrays.items()}
    pads = {"more": np.array(more, np.int64)} if more is not None else {}
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array), name)
        for name, array in (constants | pads).items()
    )
    return proto
