"""Operators that combine tensors: sums need one scale on all, products multiply theirs.

A sum is where a gauge may choose: ``(x + b) + (z - b) = x + z``, so a shift may go into any
operand, or on to what reads the sum. `balance` yields these ways, the likeliest first; this is what
lets a residual stream be stored shifted at no cost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from export.folding.affine import Affine, Array
from export.folding.constants import RefusalError, is_constant
from export.folding.draft import dims, doubled
from export.folding.gauge import SAME, Gauge, decoding, encoding
from export.folding.operators.linear import LINEAR
from export.folding.operators.operator import Gauges, Operator, Rewriting, Spot, Step


@dataclass(frozen=True)
class _Term:
    """One operand of a sum.

    Attributes:
        value: The operand.
        sign: 1, or -1 where it is subtracted.
        fixed: Whether it is a constant.
    """

    value: ir.Value
    sign: float
    fixed: bool


def _terms(spot: Spot) -> list[_Term]:
    signs = (1.0, -1.0) if spot.node.op_type == "Sub" else (1.0,) * len(spot.node.inputs)
    operands = (spot.operand(i) for i in range(len(spot.node.inputs)))
    return [_Term(v, sign, is_constant(v)) for v, sign in zip(operands, signs, strict=True)]


def _sum(spot: Spot) -> Iterator[Gauges]:
    rank = len(dims(spot.output))
    terms = _terms(spot)
    if len({term.value for term in terms}) < len(terms):
        raise RefusalError(f"{spot.described} reads one tensor twice", spot.node)
    scale = _common_scale(spot, terms, rank)
    known = {term.value: spot.gauges[term.value] for term in terms if term.value in spot.gauges}
    total = np.zeros((1,) * rank)
    for term in terms:
        if term.value in known:
            total = total + term.sign * _widened(known[term.value].encode.shift, rank)
    output = spot.of(spot.output)
    wanted = None if output is None else output.encode.shift
    open_terms = [term for term in terms if not term.fixed and term.value not in known]
    plain = {t.value: g for t in open_terms if (g := _gauge(spot, t.value, scale)) is not None}
    around = {**known, **plain}
    fixed = any(term.fixed for term in terms)
    yield from _shifted(spot, _Balance(around, scale, total, wanted, open_terms, fixed))


@dataclass(frozen=True)
class _Balance:
    """What a sum knows: everything is decided but where the shifts go."""

    around: dict[ir.Value, Gauge]
    scale: Array
    total: Array
    wanted: Array | None
    open_terms: list[_Term]
    fixed: bool


def _shifted(spot: Spot, given: _Balance) -> Iterator[Gauges]:
    """The ways to make the shifts of operands and output add up."""
    if given.wanted is not None:
        return _to_known_output(spot, given, _remaining(given.wanted, given.total))
    return _to_open_output(spot, given)


def _to_known_output(spot: Spot, given: _Balance, missing: Array) -> Iterator[Gauges]:
    around = {**given.around, spot.output: spot.gauges[spot.output]}
    if given.fixed or not missing.any():
        yield around
    elif not given.open_terms:
        raise RefusalError(f"{spot.described} would have to add up to something else", spot.node)
    if missing.any():
        yield from _given_to_operand(spot, around, given, missing)


def _to_open_output(spot: Spot, given: _Balance) -> Iterator[Gauges]:
    output, scale = spot.output, given.scale
    lossless = all(gauge.decoding is not None for gauge in given.around.values())
    stays = encoding(Affine(scale, np.zeros_like(scale)), lossless)
    around = given.around if stays.is_identity else {**given.around, output: stays}
    # A shift that drowned an operand is not taken off again: the digits are gone.
    returns = lossless or not stays.is_identity
    if returns and (given.fixed or not given.total.any()):
        yield around
    if not given.total.any():
        return
    shifted = Affine(*np.broadcast_arrays(scale, given.total))
    moved = {**given.around, output: encoding(shifted, lossless)}
    ways = _given_to_operand(spot, around, given, -given.total) if returns else iter(())
    if any(_absorbs(term.value, spot) for term in given.open_terms):
        yield from ways
        yield moved
    else:
        yield moved
        yield from ways


def _remaining(wanted: Array, total: Array) -> Array:
    """``wanted - total``, without what is there only because sums are rounded."""
    rest = wanted - total
    largest = max(float(np.abs(wanted).max(initial=0)), float(np.abs(total).max(initial=0)))
    return rest if np.abs(rest).max(initial=0) > SAME * largest else np.zeros_like(rest)


def _given_to_operand(
    spot: Spot, around: Mapping[ir.Value, Gauge], given: _Balance, shift: Array
) -> Iterator[Gauges]:
    """Each way to store one operand shifted, those first that a linear operator computes."""
    for term in sorted(given.open_terms, key=lambda term: not _absorbs(term.value, spot)):
        try:
            gauge = _gauge(spot, term.value, given.scale, term.sign * shift)
        except RefusalError:
            continue  # broadcast along the axis of the shift: another operand may take it
        if gauge is not None:
            yield {**around, term.value: gauge}


def _absorbs(value: ir.Value, spot: Spot) -> bool:
    producer = value.producer()
    return producer is not None and (producer.op_type in LINEAR or producer in spot.draft.sites)


def _common_scale(spot: Spot, terms: Sequence[_Term], rank: int) -> Array:
    """The scale on every side of the sum, of the rank of the output."""
    found: Array | None = None
    for value in (*(term.value for term in terms), spot.output):
        gauge = spot.of(value)
        if gauge is None:
            continue
        scale = _widened(gauge.encode.scale, rank)
        if found is not None and not np.allclose(found, scale, rtol=1e-12, atol=0):
            raise RefusalError(
                f"{spot.described} adds tensors that need different scales", spot.node
            )
        found = scale
    if found is None:  # pragma: no cover - a rule is asked where a gauge is known
        raise TypeError("no gauge around a sum")
    return found


def _gauge(spot: Spot, value: ir.Value, scale: Array, shift: Array | None = None) -> Gauge | None:
    """The gauge of an operand by scale and shift of the output; None if it is stored as it is.

    Raises:
        RefusalError: The operand is broadcast along an axis where they vary.
    """
    shift = np.zeros_like(scale) if shift is None else shift
    scale, shift = np.broadcast_arrays(scale, shift)
    affine = Affine(*(_narrowed(array, value, spot) for array in (scale, shift)))
    around = (spot.of(one) for one in (*spot.tensors(), spot.output))
    lossless = all(gauge.decoding is not None for gauge in around if gauge is not None)
    gauge = encoding(affine, lossless or affine.only_scales)
    return None if gauge.is_identity else gauge


def _narrowed(array: Array, value: ir.Value, spot: Spot) -> Array:
    sizes = dims(value)
    lead = array.ndim - len(sizes)
    for axis, size in enumerate(array.shape):
        if size != 1 and (axis < lead or sizes[axis - lead] == 1):
            first = array.take([0], axis=axis)
            if not (array == first).all():
                raise RefusalError(f"{spot.described} broadcasts '{value.name}'", spot.node)
            array = first
    return array.reshape(array.shape[lead:])


def _widened(array: Array, rank: int) -> Array:
    return array.reshape((1,) * (rank - array.ndim) + array.shape)


def _sum_constants(spot: Spot) -> Rewriting | None:
    """A constant operand takes the scale, and the shift that no tensor took."""
    terms, rank = _terms(spot), len(dims(spot.output))
    fixed = [index for index, term in enumerate(terms) if term.fixed]
    if not fixed:
        return None
    if len(fixed) > 1:
        raise RefusalError(f"{spot.described} adds more than one constant", spot.node)
    (index,) = fixed
    scale = _common_scale(spot, terms, rank)
    output = spot.of(spot.output)
    missing = np.zeros((1,) * rank) if output is None else output.encode.shift
    for term in terms:
        gauge = spot.of(term.value)
        if gauge is not None:
            missing = missing - term.sign * _widened(gauge.encode.shift, rank)
    array = doubled(terms[index].value, f"the constant of {spot.described}")
    return Rewriting(
        (Step(spot.node.op_type, {index: scale * array + terms[index].sign * missing}),)
    )


def _product(spot: Spot) -> Iterator[Gauges]:
    """``(s * x) * (r * z) = (s * r) * (x * z)``; a quotient divides them."""
    first, second, output = spot.operand(0), spot.operand(1), spot.output
    for value in (first, second, output):
        gauge = spot.of(value)
        if gauge is not None and not gauge.only_scales:
            raise RefusalError(f"{spot.described} would multiply a shift", spot.node)
    power = -1.0 if spot.node.op_type == "Div" else 1.0
    known = {value: spot.gauges[value] for value in (first, second) if value in spot.gauges}
    rank = len(dims(output))
    if known:
        yield {**known, **_named(output, _scaled_output(spot, (first, second), power, rank))}
        return
    wanted = spot.gauges[output]
    for operand, exponent in ((first, 1.0), (second, power)):
        if is_constant(operand) or (first is second):
            continue
        try:
            scale = _narrowed(wanted.encode.scale**exponent, operand, spot)
        except RefusalError:
            continue
        yield {output: wanted, operand: encoding(Affine(scale, np.zeros_like(scale)))}
    raise RefusalError(f"{spot.described} cannot pass its scale on", spot.node)


def _named(value: ir.Value, gauge: Gauge) -> dict[ir.Value, Gauge]:
    return {} if gauge.is_identity else {value: gauge}


def _scaled_output(
    spot: Spot, operands: tuple[ir.Value, ir.Value], power: float, rank: int
) -> Gauge:
    """What the product is stored as; by decoding, so that a scale of zero passes."""
    scale = np.ones((1,) * rank)
    for operand, exponent in zip(operands, (1.0, power), strict=True):
        gauge = spot.of(operand)
        if gauge is not None:
            factor = _widened(gauge.decode.scale, rank)
            if exponent < 0 and not factor.all():
                raise RefusalError(f"{spot.described} would divide by zero", spot.node)
            scale = scale * factor**exponent
    return decoding(Affine(scale, np.zeros_like(scale)))


COMBINING = {
    "Add": Operator(_sum, _sum_constants),
    "Sub": Operator(_sum, _sum_constants),
    "Sum": Operator(_sum, _sum_constants),
    "Mul": Operator(_product),
    "Div": Operator(_product),
}
