"""Weights and activations in 8-bit integers: static quantization by ONNX Runtime's own tools.

QDQ, the format that its CPU kernels are made for. Unsigned activations and signed weights, as it
advises for x86 (with signed activations a residual network ran in 0.92 ms instead of 0.31), and a
scale for each output channel.

Weights take 7 of the 8 bits: a CPU without VNNI adds pairs of products in 16 bits and saturates
beyond, so that with 8 the accuracy that was measured would be that of this machine alone. It cost
nothing measurable (Fashion-MNIST, 10,000 images: 94.27 % with 7 bits and with 8).

What a Gemm or a MatMul puts out stays float: a class then keeps its margin and never ties with
another (8-bit logits tied for 10 of 10,000 images; their error was four times larger), and nothing
is slower. Softmax stays float for the same reason.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from export.errors import UsageError, first_line
from export.sources.original import Feeds

# A scale for each channel came to DequantizeLinear with this opset.
LEAST_OPSET = 13
# Named, so that a newer ONNX Runtime with more of them does not change an artifact unseen.
OPERATORS = (
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul"),
    *("Relu", "Clip", "LeakyRelu", "Sigmoid"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Split", "Pad", "Resize"),
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
)
FLOAT_OUTPUTS = ("Gemm", "MatMul")
MARKS = ("onnx.infer", "onnx.quant.pre_process")  # metadata the tools leave for each other


def to_int8(model: ir.Model, batches: Iterable[Feeds]) -> ir.Model:
    """A model in 8-bit integers, inputs and outputs as they were.

    Args:
        model: In float32; left alone.
        batches: Inputs; the smallest and the largest number that each tensor holds on them are the
            ends of its range.

    Raises:
        UsageError: The tools cannot do it, or there is nothing that they quantize.
    """
    # Its files go to a folder of their own, which goes again: nothing lies beside an artifact.
    with tempfile.TemporaryDirectory(prefix="foldserve-") as folder, _quiet():
        source, target = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        try:
            onnx.save(_raised(ir.to_proto(model)), source)
            _quantize(source, target, batches)
            proto = onnx.load(target)
        except Exception as error:
            raise UsageError(
                f"--precision int8: not possible here ({first_line(error)})"
            ) from error
    quantized: ir.Model = ir.from_proto(proto)
    for mark in MARKS:
        quantized.metadata_props.pop(mark, None)
    if not any(node.op_type == "QuantizeLinear" for node in quantized.graph):
        raise UsageError("--precision int8: there is no operator in the model to quantize")
    return quantized


def _quantize(source: Path, target: Path, batches: Iterable[Feeds]) -> None:
    # Loaded here: nobody else waits for it, and `export.runtime` was loaded before it. No types.
    from onnxruntime import quantization  # type: ignore[import-untyped]  # noqa: PLC0415

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # its base is untyped
        """Hands out batches, one after the other."""

        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            feeds = next(self._left, None)
            return None if feeds is None else dict(feeds)

    quantization.quantize_static(
        source,
        target,
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=list(OPERATORS),
        per_channel=True,
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod.MinMax,
        extra_options={"OpTypesToExcludeOutputQuantization": list(FLOAT_OUTPUTS)},
    )


def _raised(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model in an opset that has a scale for each channel."""
    found = max((o.version for o in proto.opset_import if o.domain in {"", "ai.onnx"}), default=1)
    if found >= LEAST_OPSET:
        return proto
    return onnx.version_converter.convert_version(proto, LEAST_OPSET)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tools' advice, which goes to the root logger, from the user's terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
