"""Operators that work on every number alone: clamps, homogeneous activations, sums, products.

A ReLU is the clamp [0, inf): ``s * relu(y) + t = clamp(s * y + t)`` with the bounds [t, inf) for
s > 0 and (-inf, t] for s < 0, so a clamp passes every affine on and is told where its bounds are
now. A homogeneous activation passes positive scales on as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from export.folding.affine import Affine, Array
from export.folding.constants import RefusalError, is_constant, number
from export.folding.draft import check_rounds, dims, doubled
from export.folding.gauge import Gauge
from export.folding.operators.operator import Gauges, Operator, Rewriting, Spot, Step
from export.folding.recognition import aligned

BOUNDS_BROADCAST_SINCE_OPSET = 8  # Max and Min; before, all operands had one shape
CLIP_OPERANDS_SINCE_OPSET = 11  # before, its bounds were attributes


@dataclass(frozen=True)
class Clamp:
    """Bounds of an activation, of the rank of its tensor; infinite where there is none.

    Attributes:
        low: The smallest number that it puts out.
        high: The largest.
    """

    low: Array
    high: Array

    def seen_through(self, affine: Affine) -> "Clamp":
        """The clamp of what is stored as ``affine(x)``."""
        low, high = (affine(bound) for bound in self.bounds)
        return Clamp(np.minimum(low, high), np.maximum(low, high))

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Both."""
        return self.low, self.high

    @property
    def is_relu(self) -> bool:
        """Whether ReLU computes it."""
        return not self.low.any() and bool((self.high == np.inf).all())

    @property
    def is_uniform(self) -> bool:
        """Whether all elements have the same bounds."""
        return all(bool((bound == bound.flat[0]).all()) for bound in self.bounds)


def clamp_of(spot: Spot) -> tuple[ir.Value, Clamp]:
    """What a Relu, Clip, or Max or Min with a constant reads, and its bounds.

    Raises:
        RefusalError: It is none of them.
    """
    node = spot.node
    if node.op_type in {"Max", "Min"}:
        return _bounded(spot)
    source = spot.operand(0)
    ones = np.ones((1,) * len(dims(source)))
    if node.op_type == "Relu":
        return source, Clamp(0 * ones, np.inf * ones)
    low, high = number(node, "min", 1, -np.inf), number(node, "max", 2, np.inf)
    return source, Clamp(low * ones, high * ones)


def _bounded(spot: Spot) -> tuple[ir.Value, Clamp]:
    constants = [is_constant(value) for value in spot.node.inputs]
    if len(constants) != 2 or constants.count(True) != 1:
        raise RefusalError(f"{spot.described} compares tensors", spot.node)
    which = constants.index(True)
    source = spot.operand(1 - which)
    bound = aligned(doubled(spot.operand(which), "a bound"), source, spot.node)
    unbound = np.full_like(bound, np.inf)
    return source, Clamp(bound, unbound) if spot.node.op_type == "Max" else Clamp(-unbound, bound)


def _clamp_balance(spot: Spot) -> Iterator[Gauges]:
    source, clamp = clamp_of(spot)
    gauge = spot.of(source) or spot.gauges[spot.output]
    rewriting = _clamped(spot, source, clamp, gauge)
    if rewriting is not None and rewriting.clamps and not spot.clamps:
        raise RefusalError(
            f"{spot.described} would have to become a Max or Min for each channel", spot.node
        )
    if gauge.encoding is None:
        yield {source: gauge, spot.output: _clamped_constants(gauge, clamp)}
    else:
        yield {source: gauge, spot.output: gauge}


def _clamped_constants(gauge: Gauge, clamp: Clamp) -> Gauge:
    """Where the scale is zero the true number is the shift, which is clamped here and now."""
    decode = gauge.decode
    fixed = np.clip(decode.shift, clamp.low, clamp.high)
    return Gauge(None, Affine(decode.scale, np.where(decode.scale == 0, fixed, decode.shift)))


def _clamp_rewrite(spot: Spot) -> Rewriting | None:
    source, clamp = clamp_of(spot)
    return _clamped(spot, source, clamp, spot.gauges[source])


def _clamped(spot: Spot, source: ir.Value, clamp: Clamp, gauge: Gauge) -> Rewriting | None:
    """The clamp of what is stored; None where it is the clamp that is there."""
    if clamp.is_relu and gauge.only_scales and gauge.keeps_order:
        return None
    stored = clamp.seen_through(_encoding_or_free(gauge))
    return Rewriting(*_clamp_steps(spot, source, stored))


def _encoding_or_free(gauge: Gauge) -> Affine:
    """The encoding, and where its scale would divide by zero one that never meets a bound."""
    if gauge.encoding is not None:
        return gauge.encoding
    decode = gauge.decode
    zero = decode.scale == 0
    safe = np.where(zero, 1.0, decode.scale)
    affine = Affine(1 / safe, -decode.shift / safe)
    if not (np.isfinite(affine.scale).all() and np.isfinite(affine.shift).all()):
        raise RefusalError("its scale is too close to zero in a channel")
    return Affine(affine.scale, np.where(zero, 0.0, affine.shift))


def _clamp_steps(spot: Spot, source: ir.Value, clamp: Clamp) -> tuple[tuple[Step, ...], bool]:
    """The operators that compute a clamp, and whether they bound each channel by itself."""
    data = list(spot.node.inputs).index(source)
    if clamp.is_relu:
        return (Step("Relu", {}, (), data),), False
    if clamp.is_uniform and data == 0:
        return (_clip(spot, clamp),), spot.node.op_type == "Relu"
    if spot.draft.opset < BOUNDS_BROADCAST_SINCE_OPSET:
        raise RefusalError(
            f"{spot.described} is of an opset whose Max does not broadcast", spot.node
        )
    steps: list[Step] = []
    for op_type, bound in (("Max", clamp.low), ("Min", clamp.high)):
        if np.isfinite(bound).any():
            _check_bound(spot, bound)
            steps.append(Step(op_type, {1: bound}, (), data if not steps else 0))
    if not steps:
        steps.append(Step("Identity", {}, (), data))
    return tuple(steps), spot.node.op_type not in {"Max", "Min"} or len(steps) > 1


def _clip(spot: Spot, clamp: Clamp) -> Step:
    low, high = (float(bound.flat[0]) for bound in clamp.bounds)
    _check_bound(spot, np.array([low, high]))
    if spot.draft.opset >= CLIP_OPERANDS_SINCE_OPSET:
        return Step("Clip", {1: np.array(low), 2: np.array(high)}, ())
    limits = {"min": max(low, -3.4e38), "max": min(high, 3.4e38)}  # the operator's own defaults
    return Step("Clip", {}, [ir.AttrFloat32(name, bound) for name, bound in limits.items()])


def _check_bound(spot: Spot, bound: Array) -> None:
    if spot.output.dtype is not None:
        check_rounds(bound, spot.output.dtype, spot.node)


def _homogeneous(spot: Spot) -> Iterator[Gauges]:
    """``f(s * x) = s * f(x)`` for s > 0: LeakyRelu and PRelu; Abs as well."""
    gauge = spot.of(spot.operand(0)) or spot.gauges[spot.output]
    if len(spot.node.inputs) > 1 and not is_constant(spot.node.inputs[1]):
        raise RefusalError(f"{spot.described} has a slope that is computed", spot.node)
    if not (gauge.only_scales and gauge.keeps_order):
        raise RefusalError(f"{spot.described} takes positive scales only", spot.node)
    yield {spot.operand(0): gauge, spot.output: gauge}


def _negated(spot: Spot) -> Iterator[Gauges]:
    """What is stored is negated as it is: ``-(a * x + b) = a * (-x) - b``."""
    source = spot.of(spot.operand(0))
    if source is not None:
        yield {spot.operand(0): source, spot.output: _mirrored(source)}
    else:
        output = spot.gauges[spot.output]
        yield {spot.operand(0): _mirrored(output), spot.output: output}


def _mirrored(gauge: Gauge) -> Gauge:
    encode, decode = (
        None if affine is None else Affine(affine.scale, -affine.shift)
        for affine in (gauge.encoding, gauge.decoding)
    )
    return Gauge(encode, decode)


def _only_its_shape(spot: Spot) -> Iterator[Gauges]:
    yield {spot.operand(0): spot.gauges[spot.operand(0)]}


POINTWISE: Mapping[str, Operator] = {
    "Relu": Operator(_clamp_balance, _clamp_rewrite),
    "Clip": Operator(_clamp_balance, _clamp_rewrite),
    "Max": Operator(_clamp_balance, _clamp_rewrite),
    "Min": Operator(_clamp_balance, _clamp_rewrite),
    "LeakyRelu": Operator(_homogeneous),
    "PRelu": Operator(_homogeneous),
    "Abs": Operator(_homogeneous),
    "Neg": Operator(_negated),
    "Shape": Operator(_only_its_shape),
    "Size": Operator(_only_its_shape),
}
