"""Operators that put tensors together or take them apart: Concat and Split.

Each part of the whole is stored like that part of the whole's gauge.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from export.folding.affine import Affine, Array
from export.folding.constants import RefusalError, is_constant
from export.folding.draft import dims, doubled
from export.folding.gauge import Gauge
from export.folding.operators.operator import Change, Gauges, Operator, Rewriting, Spot, Step


def _concat(spot: Spot) -> Iterator[Gauges]:
    axis, operands = (
        _axis(spot, spot.output),
        [spot.operand(i) for i in range(len(spot.node.inputs))],
    )
    rank = len(dims(spot.output))
    known = spot.of(spot.output)
    if known is not None:
        yield {spot.output: known} | _sliced(known, operands, axis, spot)
        return
    gauges = [spot.of(operand) for operand in operands]
    given = next(gauge for gauge in gauges if gauge is not None)
    if _size_along(given, axis) == 1:  # it concatenates along another axis: all alike, if need be
        yield {spot.output: given} | dict.fromkeys(operands, given)
    joined = _joined(gauges, operands, axis, rank, spot)
    yield {spot.output: joined} | {
        operand: gauge for operand, gauge in zip(operands, gauges, strict=True) if gauge is not None
    }


def _concat_constants(spot: Spot) -> Rewriting | None:
    """Constants among the operands are stored like their part of the output."""
    gauge, axis = spot.of(spot.output), _axis(spot, spot.output)
    operands = [spot.operand(i) for i in range(len(spot.node.inputs))]
    if gauge is None:  # pragma: no cover - a node is rewritten where its output is stored anew
        return None
    start, constants = 0, dict[int, Array]()
    for index, operand in enumerate(operands):
        size = _known_size(operand, axis, spot)
        piece = gauge.map(_cutting(start, start + size, axis))
        if is_constant(operand) and not piece.is_identity:
            constants[index] = piece.encode(doubled(operand, f"a part of {spot.described}"))
        start += size
    return Rewriting((Step("Concat", constants),)) if constants else None


def _split(spot: Spot) -> Iterator[Gauges]:
    axis, outputs = _axis(spot, spot.operand(0)), list(spot.node.outputs)
    rank = len(dims(spot.operand(0)))
    known = spot.of(spot.operand(0))
    if known is None:
        gauges = [spot.of(output) for output in outputs]
        given = next(gauge for gauge in gauges if gauge is not None)
        if _size_along(given, axis) == 1:
            yield {spot.operand(0): given} | dict.fromkeys(outputs, given)
        known = _joined(gauges, outputs, axis, rank, spot)
    yield {spot.operand(0): known} | _sliced(known, outputs, axis, spot)


def _axis(spot: Spot, whole: ir.Value) -> int:
    return range(len(dims(whole)))[spot.node.attributes.get_int("axis", 0)]


def _size_along(gauge: Gauge, axis: int) -> int:
    sizes: list[int] = [part.shape[axis] for part in (gauge.primary.scale, gauge.primary.shift)]
    return max(sizes)


def _sliced(
    gauge: Gauge, parts: Sequence[ir.Value], axis: int, spot: Spot
) -> dict[ir.Value, Gauge]:
    """The gauges of the parts of a tensor, without those that are stored as they are."""
    start, pieces = 0, dict[ir.Value, Gauge]()
    for part in parts:
        size = _known_size(part, axis, spot)
        piece = gauge.map(_cutting(start, start + size, axis))
        if not is_constant(part) and not pieces.setdefault(part, piece).is_same_as(piece):
            raise RefusalError(f"{spot.described} holds one tensor twice", spot.node)
        start += size
    return {part: piece for part, piece in pieces.items() if not piece.is_identity}


def _cutting(start: int, end: int, axis: int) -> Change:
    """What takes the part from `start` to `end` out of the array of a gauge."""

    def cut(array: Array) -> Array:
        if array.shape[axis] == 1:
            return array
        return array[(slice(None),) * axis + (slice(start, end),)]

    return cut


def _joined(
    gauges: Sequence[Gauge | None], parts: Sequence[ir.Value], axis: int, rank: int, spot: Spot
) -> Gauge:
    """The gauge of a tensor that is made of parts."""
    sizes = [_known_size(part, axis, spot) for part in parts]
    as_is = Affine.identity(rank)
    directions = []
    for name in ("encoding", "decoding"):
        affines = [as_is if gauge is None else getattr(gauge, name) for gauge in gauges]
        whole = None if None in affines else _concatenated(affines, sizes, axis)
        directions.append(whole)
    if directions == [None, None]:
        raise RefusalError(f"{spot.described} joins what cannot be stored alike", spot.node)
    return Gauge(*directions)


def _concatenated(affines: Sequence[Affine], sizes: Sequence[int], axis: int) -> Affine:
    return Affine(
        _stretched([affine.scale for affine in affines], sizes, axis),
        _stretched([affine.shift for affine in affines], sizes, axis),
    )


def _stretched(arrays: Sequence[Array], sizes: Sequence[int], axis: int) -> Array:
    shape = list(np.broadcast_shapes(*(_without(array.shape, axis) for array in arrays)))
    pieces = []
    for array, size in zip(arrays, sizes, strict=True):
        shape[axis] = size
        pieces.append(np.broadcast_to(array, shape))
    return np.concatenate(pieces, axis=axis)


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])


def _known_size(value: ir.Value, axis: int, spot: Spot) -> int:
    size = dims(value)[axis]
    if not isinstance(size, int):
        raise RefusalError(f"{spot.described} joins axes whose sizes are not known", spot.node)
    return size


JOINING = {
    "Concat": Operator(_concat, _concat_constants),
    "Split": Operator(_split),
}
