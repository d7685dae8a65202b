"""Operators that combine neighbours of one channel: pooling, means, resizing, padding.

A mean of stored numbers means the mean of the true ones, whatever the affine; a maximum does where
the affine keeps the order; zeros beside the image are zeros only where zero is stored as zero.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import onnx_ir as ir

from export.folding.affine import Array
from export.folding.constants import RefusalError, integers, number
from export.folding.draft import dims
from export.folding.gauge import Gauge
from export.folding.operators.operator import Gauges, Operator, Rewriting, Spot, Step

Check = Callable[[Spot, Gauge], None]
CHANNEL_AXES = 2  # batch and channel: pooling works along the axes behind


def _pooling(check: Check) -> Operator:
    """An operator that works along all axes but the first two, and keeps the rank."""

    def balance(spot: Spot) -> Iterator[Gauges]:
        gauge = spot.of(spot.operand(0)) or spot.gauges[spot.output]
        _check_varies(
            spot, gauge, [*range(CHANNEL_AXES, gauge.primary.scale.ndim), *_resized(spot)]
        )
        if any(output.uses() or output.is_graph_output() for output in spot.node.outputs[1:]):
            raise RefusalError(f"{spot.described} puts out more than its data", spot.node)
        check(spot, gauge)
        yield {spot.operand(0): gauge, spot.output: gauge}

    return Operator(balance)


def _resized(spot: Spot) -> Iterator[int]:
    """Batch or channel, if they change their size: Resize can do that."""
    before, after = spot.operand(0).shape, spot.output.shape
    if before is None or after is None:
        return
    for axis in range(CHANNEL_AXES):
        sizes = before[axis], after[axis]
        if all(isinstance(size, int) for size in sizes) and sizes[0] != sizes[1]:
            yield axis


def _reducing(check: Check) -> Operator:
    """An operator that takes one number out of the axes that it names."""

    def balance(spot: Spot) -> Iterator[Gauges]:
        rank = len(dims(spot.operand(0)))
        named = integers(spot.node, "axes", 1)
        if not named and spot.node.attributes.get_int("noop_with_empty_axes", 0) == 1:
            raise RefusalError(f"{spot.described} is told to do nothing", spot.node)
        axes = tuple(axis % rank for axis in named) if named else tuple(range(rank))
        keeps = spot.node.attributes.get_int("keepdims", 1) == 1
        known = spot.of(spot.operand(0))
        if known is None:
            known = spot.gauges[spot.output]
            known = known if keeps else known.map(lambda array: np.expand_dims(array, axes))
        _check_varies(spot, known, axes)
        check(spot, known)
        output = known if keeps else known.map(lambda array: array.squeeze(axes))
        yield {spot.operand(0): known, spot.output: output}

    return Operator(balance)


def _check_varies(spot: Spot, gauge: Gauge, axes: Iterable[int]) -> None:
    affine = gauge.primary
    for axis in axes:
        if max(affine.scale.shape[axis], affine.shift.shape[axis]) != 1:
            raise RefusalError(f"{spot.described} joins positions that are stored apart", spot.node)


def _anything(_: Spot, __: Gauge) -> None:
    """Every affine passes."""


def _order(spot: Spot, gauge: Gauge) -> None:
    if not gauge.keeps_order:
        raise RefusalError(
            f"{spot.described} takes a maximum, which a negative scale would turn into a minimum",
            spot.node,
        )


def _scale(spot: Spot, gauge: Gauge) -> None:
    if not gauge.only_scales:
        raise RefusalError(f"{spot.described} would count a shift more than once", spot.node)


def _average(spot: Spot, gauge: Gauge) -> None:
    """Zeros beside the image count in the mean, if the operator is told to count them."""
    attributes = spot.node.attributes
    counts = attributes.get_int("count_include_pad", 0) == 1
    padded = any(attributes.get_ints("pads", ())) or attributes.get_int("ceil_mode", 0) == 1
    padded |= attributes.get_string("auto_pad", "NOTSET").startswith("SAME")
    if counts and padded and not gauge.only_scales:
        raise RefusalError(
            f"{spot.described} counts zeros beside its input, which a shift would move", spot.node
        )


def _resize(spot: Spot, gauge: Gauge) -> None:
    """Its weights sum up to 1, unless it puts a fixed number where it leaves the image."""
    mode = spot.node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    if mode == "tf_crop_and_resize":
        _scale(spot, gauge)
        extrapolated = spot.node.attributes.get_float("extrapolation_value", 0.0)
        if extrapolated != 0:
            raise RefusalError(f"{spot.described} puts in a fixed number", spot.node)


def _pad(spot: Spot) -> Iterator[Gauges]:
    known = spot.of(spot.operand(0)) or spot.gauges[spot.output]
    _check_varies(spot, known, _padded_axes(spot))
    if spot.node.attributes.get_string("mode", "constant") == "constant":
        _padding(spot, known)
    yield {spot.operand(0): known, spot.output: known}


def _padded_axes(spot: Spot) -> tuple[int, ...]:
    pads = integers(spot.node, "pads", 1)
    if pads is None:  # pragma: no cover - the checker refuses such a graph
        raise RefusalError(f"{spot.described} lacks its pads", spot.node)
    named = integers(spot.node, "axes", 3)
    rank, count = len(dims(spot.operand(0))), len(pads) // 2
    axes = tuple(axis % rank for axis in named) if named else tuple(range(count))
    return tuple(axis for i, axis in enumerate(axes) if pads[i] != 0 or pads[i + count] != 0)


def _padding(spot: Spot, gauge: Gauge) -> Array:
    """What stands beside the image, as it is stored; one number, since Pad takes no more."""
    value = number(spot.node, "value", 2, 0.0)
    if value == 0 and gauge.only_scales:
        return np.zeros(())
    stored = np.unique(gauge.encode(np.full((1,) * gauge.encode.scale.ndim, value)))
    if len(stored) != 1:
        raise RefusalError(
            f"{spot.described} puts the same number beside every channel, which is stored "
            "differently in each",
            spot.node,
        )
    return stored.reshape(())


def _pad_value(spot: Spot) -> Rewriting | None:
    gauge = spot.of(spot.output)
    if gauge is None or spot.node.attributes.get_string("mode", "constant") != "constant":
        return None
    stored = _padding(spot, gauge)
    if stored == number(spot.node, "value", 2, 0.0):
        return None
    if "pads" in spot.node.attributes:  # opset 2 to 10: everything is an attribute
        attributes = [one for name, one in spot.node.attributes.items() if name != "value"]
        return Rewriting((Step("Pad", {}, [*attributes, ir.AttrFloat32("value", float(stored))]),))
    return Rewriting((Step("Pad", {2: stored}),))


POOLING = {
    "MaxPool": _pooling(_order),
    "GlobalMaxPool": _pooling(_order),
    "AveragePool": _pooling(_average),
    "GlobalAveragePool": _pooling(_anything),
    "ReduceMean": _reducing(_anything),
    "ReduceMax": _reducing(_order),
    "ReduceSum": _reducing(_scale),
    "Resize": _pooling(_resize),
    "Upsample": _pooling(_anything),
    "Pad": Operator(_pad, _pad_value),
}
