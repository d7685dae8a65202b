"""An operator between a linear one and a batch norm: does the batch norm pass it, exactly?

The operator is text that reads ``a`` and writes ``b``. Whatever the fold does, its numbers are held
against PyTorch's in float64; so every test of an operator is one of its arithmetic too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from export.folding import AffineOutcome, Mode
from tests.export.graphs import EXACT, Array, bn, folded, model, norm, normal, op_types
from tests.export.oracle import difference

CHANNELS = 4
SIZE = (CHANNELS, 6, 5)
Signs = Literal["positive", "mixed", "negative"]
NOTHING: Mapping[str, Array] = {}


def parameters(
    signs: Signs = "mixed", *, shifts: bool = True, scales: bool = True, channels: int = CHANNELS
) -> dict[str, Array]:
    """Parameters of a batch norm that scales, shifts, or does both."""
    given = norm(channels)
    given["bn_gamma"] += np.copysign(0.3, given["bn_gamma"])  # none so small that it would drown
    deviation = np.sqrt(given["bn_var"] + np.float64(np.float32(1e-5)))
    if signs != "mixed":
        given["bn_gamma"] = np.abs(given["bn_gamma"]) * (1 if signs == "positive" else -1)
    if not scales:
        given["bn_gamma"] = deviation
    if not shifts:
        given["bn_beta"], given["bn_mean"] = np.zeros(channels), np.zeros(channels)
    return given


def behind(
    operator: str,
    arrays: Mapping[str, Array] = NOTHING,
    *,
    of: Mapping[str, Array] | None = None,
    size: tuple[int, ...] = SIZE,
    opset: int = 17,
    linear: str = "Conv(x, w)",
) -> onnx.ModelProto:
    """Convolution, operator, batch norm."""
    of = parameters() if of is None else of
    weight = normal(CHANNELS, size[0], *(1,) * (len(size) - 1), seed=3)
    proto = model(
        f"a = {linear} {operator} {bn('b')}",
        {"w": weight, **arrays, **of},
        inputs=f"double[n,{','.join(map(str, size))}] x",
        outputs="double y",
        opset=opset,
    )
    return with_shape(proto)


def in_front(
    operator: str,
    arrays: Mapping[str, Array] = NOTHING,
    *,
    of: Mapping[str, Array] | None = None,
    size: tuple[int, ...] = SIZE,
    opset: int = 17,
    linear: str = "Conv(b, w)",
    weight: tuple[int, ...] = (3, CHANNELS, 1, 1),
) -> onnx.ModelProto:
    """Batch norm, operator, unpadded convolution."""
    of = parameters(channels=size[0]) if of is None else of
    proto = model(
        f"{bn('x', 'a')} {operator} y = {linear}",
        {"w": normal(*weight, seed=3), **arrays, **of},
        inputs=f"double[n,{','.join(map(str, size))}] x",
        outputs="double y",
        opset=opset,
    )
    return with_shape(proto)


@dataclass(frozen=True)
class Result:
    """What became of the one batch norm of a model, and the operators that are left."""

    how: str
    reason: str
    entry: AffineOutcome
    left: list[str]


def outcome(proto: onnx.ModelProto, mode: Mode = "safe") -> Result:
    """Fold, hold the numbers against PyTorch's in float64, and say what became of it."""
    after, report = folded(proto, mode)
    free = [size.dim_value or 2 for size in proto.graph.input[0].type.tensor_type.shape.dim]
    assert difference(proto, after, normal(*free, seed=9)) <= EXACT
    (entry,) = (one for one in report.nodes if one.kind == "batch_norm")
    return Result(entry.outcome, entry.reason or "", entry, op_types(after))


def with_shape(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model whose output has the shape that ONNX infers for it."""
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    inferred.graph.ClearField("value_info")
    return inferred
