"""Write a small network as ONNX, an operator a line, its weights drawn as it goes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from benchmarks.folding.weights import Array, beta, calibrate, gamma, he_normal

OPSET = 20
IR_VERSION = 10  # read by every ONNX Runtime that knows the opset
BATCH_NORM_ROLES = ("gamma", "beta", "mean", "var")


class Network:
    """A graph in the making. Methods add operators and return the name of what they put out.

    Attributes:
        channels: Of every value, by its name.
    """

    def __init__(self, seed: int) -> None:
        self.channels: dict[str, int] = {}
        self._rng = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, Array] = {}
        self._inputs: list[onnx.ValueInfoProto] = []

    def image(
        self, channels: int = 8, size: int = 12, rank: int = 4, dtype: type = np.float32
    ) -> str:
        """The input, (batch, channels, size, ...)."""
        shape: list[str | int | None] = ["batch", channels, *[size] * (rank - 2)]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._inputs.append(helper.make_tensor_value_info("x", kind, shape))
        self.channels["x"] = channels
        return "x"

    def constant(self, array: Array, name: str = "constant") -> str:
        """An initializer."""
        unique = f"{name}_{len(self._weights)}"
        self._weights[unique] = array
        return unique

    def number(self, value: float) -> str:
        """An initializer that is one float32."""
        return self.constant(np.array(value, np.float32), "number")

    def op(self, kind: str, *operands: str, channels: int | None = None, **attributes: Any) -> str:
        """Any operator with one output; it has the channels of its first operand if not told."""
        (output,) = self.ops(kind, *operands, channels=[channels], **attributes)
        return output

    def ops(
        self, kind: str, *operands: str, channels: Sequence[int | None], **attributes: Any
    ) -> list[str]:
        """Any operator, with as many outputs as there are channels."""
        stem = f"{kind.lower()}_{len(self._nodes)}"
        outputs = [stem if len(channels) == 1 else f"{stem}_{i}" for i in range(len(channels))]
        for output, count in zip(outputs, channels, strict=True):
            self.channels[output] = count or self.channels[operands[0]]
        self._nodes.append(helper.make_node(kind, operands, outputs, name=stem, **attributes))
        return outputs

    def conv(
        self,
        x: str,
        channels: int | None = None,
        kernel: int = 3,
        *,
        padded: bool = True,
        groups: int = 1,
        bias: bool = False,
        stride: int = 1,
        rank: int = 4,
        dtype: type = np.float32,
    ) -> str:
        """A convolution, padded such that the size stays or not at all."""
        out, inputs = channels or self.channels[x], self.channels[x] // groups
        shape = (out, inputs, *[kernel] * (rank - 2))
        weight = he_normal(shape, inputs * kernel ** (rank - 2), self._rng)
        operands = [x, self.constant(weight.astype(dtype), "weight")]
        if bias:
            operands.append(self.constant(beta(out, self._rng).astype(dtype), "bias"))
        pads = [kernel // 2 if padded else 0] * 2 * (rank - 2)
        strides = [stride] * (rank - 2)
        return self.op("Conv", *operands, channels=out, group=groups, pads=pads, strides=strides)

    def conv_transpose(self, x: str, channels: int, groups: int = 1) -> str:
        """A transposed convolution that doubles the size."""
        shape = (self.channels[x], channels // groups, 2, 2)
        weight = self.constant(he_normal(shape, self.channels[x] // groups, self._rng), "weight")
        return self.op("ConvTranspose", x, weight, channels=channels, group=groups, strides=[2, 2])

    def matmul(self, x: str, channels: int) -> str:
        """A product with a constant matrix, on the last axis."""
        weight = he_normal((self.channels[x], channels), self.channels[x], self._rng)
        return self.op("MatMul", x, self.constant(weight, "weight"), channels=channels)

    def linear(self, x: str, channels: int, features: int | None = None) -> str:
        """A Gemm with a bias; `features` where `x` was flattened."""
        inputs = features or self.channels[x]
        weight = self.constant(he_normal((channels, inputs), inputs, self._rng), "weight")
        bias = self.constant(beta(channels, self._rng), "bias")
        return self.op("Gemm", x, weight, bias, channels=channels, transB=1)

    def bn(self, x: str, dtype: type = np.float32) -> str:
        """A batch norm; its statistics are measured when the network is complete."""
        count = self.channels[x]
        arrays = (gamma(count, self._rng), beta(count, self._rng), np.zeros(count), np.ones(count))
        names = [
            self.constant(array.astype(dtype), role)
            for array, role in zip(arrays, BATCH_NORM_ROLES, strict=True)
        ]
        return self.op("BatchNormalization", x, *names)

    def row(self, x: str, *, scale: bool, rank: int = 4, axis: int = 1) -> str:
        """A constant with one number a channel of `x`, shaped to meet it on an axis."""
        draw = gamma if scale else beta
        shape = [1] * rank
        shape[axis] = -1
        numbers = draw(self.channels[x], self._rng).reshape(shape)
        return self.constant(numbers, "scale" if scale else "shift")

    def relu(self, x: str) -> str:
        """A ReLU."""
        return self.op("Relu", x)

    def head(self, x: str) -> str:
        """Global average pooling, flattening and ten logits."""
        pooled = self.op("GlobalAveragePool", x)
        return self.linear(self.op("Flatten", pooled), 10)

    def finish(self, *outputs: str) -> onnx.ModelProto:
        """The model, its batch norms calibrated.

        Raises:
            Exception: Whatever ONNX's checker has against it.
        """
        values = [onnx.ValueInfoProto(name=name) for name in outputs]
        weights = [numpy_helper.from_array(array, name) for name, array in self._weights.items()]
        graph = helper.make_graph(self._nodes, "pattern", self._inputs, values, weights)
        imports = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
        model = shape_inference.infer_shapes(model, strict_mode=True)
        calibrate(model, self._rng)
        onnx.checker.check_model(model, full_check=True)
        return model
