"""Operators that only move numbers: what is stored in one place is stored so in the other.

Identity, Dropout, Cast, Transpose, Reshape, Flatten, Squeeze, Unsqueeze and Slice. A gauge goes
through them as an array of its own, so that they move it as they move the tensor.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from export.folding.affine import Array
from export.folding.constants import RefusalError, integers
from export.folding.draft import dims
from export.folding.gauge import narrowed
from export.folding.operators.operator import Change, Gauges, Operator, Spot
from export.folding.recognition import FLOATS

Dims = Sequence[int | str | None]


def moving(changes: Callable[[Spot], tuple[Change, Change]]) -> Operator:
    """An operator of one input and one output that moves numbers.

    Args:
        changes: How it moves the array of a gauge from input to output, and from output to input.
    """

    def balance(spot: Spot) -> Iterator[Gauges]:
        forward, back = changes(spot)
        source, output = spot.operand(0), spot.output
        known = spot.of(source)
        if known is not None:
            yield {source: known, output: known.map(forward)}
            return
        found = spot.gauges[output].map(back)
        # A change that is not one to one may give a gauge that does not come out again.
        if not found.map(forward).is_same_as(spot.gauges[output]):
            raise RefusalError(f"{spot.described} joins axes that are stored apart", spot.node)
        yield {source: found, output: spot.gauges[output]}

    return Operator(balance)


def _unchanged(spot: Spot) -> tuple[Change, Change]:
    if any(output.uses() or output.is_graph_output() for output in spot.node.outputs[1:]):
        raise RefusalError(f"{spot.described} puts out more than its data", spot.node)
    return _same, _same


def _cast(spot: Spot) -> tuple[Change, Change]:
    if spot.operand(0).dtype not in FLOATS or spot.output.dtype not in FLOATS:
        raise RefusalError(f"{spot.described} makes other numbers than floats", spot.node)
    return _same, _same


def _transpose(spot: Spot) -> tuple[Change, Change]:
    rank = len(dims(spot.operand(0)))
    order = tuple(spot.node.attributes.get_ints("perm", ())) or tuple(reversed(range(rank)))
    inverse = tuple(int(axis) for axis in np.argsort(order))
    return (lambda array: array.transpose(order)), (lambda array: array.transpose(inverse))


def _reshape(spot: Spot) -> tuple[Change, Change]:
    before, after = dims(spot.operand(0)), dims(spot.output)
    return (
        lambda array: reshaped(array, before, after, spot),
        lambda array: reshaped(array, after, before, spot),
    )


def reshaped(array: Array, before: Dims, after: Dims, spot: Spot) -> Array:
    """The array of a gauge after a reshape of its tensor.

    Args:
        array: As many axes as `before`, each of size 1 or that of the tensor.
        before: The tensor's sizes.
        after: Its sizes behind the reshape.
        spot: The reshape.

    Raises:
        RefusalError: The gauge varies along axes whose sizes are not known.
    """
    front, back = _common(before, after)
    inner = array.shape[front : array.ndim - back]
    middle, target = before[front : len(before) - back], after[front : len(after) - back]
    head, tail = array.shape[:front], array.shape[array.ndim - back :]
    if math.prod(inner) == 1:
        return array.reshape(*head, *(1,) * len(target), *tail)
    sizes, shape = _resolved(middle, target), _resolved(target, middle)
    if sizes is None or shape is None:
        raise RefusalError(f"{spot.described} joins axes whose sizes are not known", spot.node)
    full = np.broadcast_to(array, (*head, *sizes, *tail))
    return narrowed(full.reshape(*head, *shape, *tail))


def _resolved(own: Dims, other: Dims) -> list[int] | None:
    """Sizes of which one is not known, by those on the other side; None if that cannot be told."""
    known = [size for size in own if isinstance(size, int)]
    if len(known) == len(own):
        return known
    theirs = [size for size in other if isinstance(size, int)]
    if len(known) < len(own) - 1 or len(theirs) < len(other) or 0 in known:
        return None
    missing = math.prod(theirs) // math.prod(known)
    return [size if isinstance(size, int) else missing for size in own]


def _common(before: Dims, after: Dims) -> tuple[int, int]:
    """How many axes are the same in front and at the back."""
    front = 0
    while front < min(len(before), len(after)) and _same_size(front, before, after):
        front += 1
    room = min(len(before), len(after)) - front
    back = 0
    while back < room and before[-1 - back] == after[-1 - back] is not None:
        back += 1
    return front, back


def _same_size(axis: int, before: Dims, after: Dims) -> bool:
    if before[axis] == after[axis] is not None:
        return True
    # The one unknown size in front, usually the batch: same if all that follows is as large.
    rest = [dims[1:] for dims in (before, after)]
    if axis or any(isinstance(size, int) for size in (before[0], after[0])):
        return False
    if not all(isinstance(size, int) for sizes in rest for size in sizes):
        return False
    sizes = [math.prod(size for size in dims if isinstance(size, int)) for dims in rest]
    return sizes[0] == sizes[1]


def _slice(spot: Spot) -> tuple[Change, Change]:
    window = _window(spot)

    def forward(array: Array) -> Array:
        return array[
            tuple(slice(None) if n == 1 else w for n, w in zip(array.shape, window, strict=True))
        ]

    def back(array: Array) -> Array:
        for axis, cut in enumerate(window):
            if array.shape[axis] != 1 and cut != slice(None):
                raise RefusalError(
                    f"{spot.described} leaves out channels of what it reads", spot.node
                )
        return array

    return forward, back


def _window(spot: Spot) -> list[slice]:
    starts, ends = (integers(spot.node, name, i) for i, name in ((1, "starts"), (2, "ends")))
    if starts is None or ends is None:  # pragma: no cover - the checker refuses such a graph
        raise RefusalError(f"{spot.described} lacks its bounds", spot.node)
    axes = integers(spot.node, "axes", 3) or tuple(range(len(starts)))
    steps = integers(spot.node, "steps", 4) or (1,) * len(starts)
    window = [slice(None)] * len(dims(spot.operand(0)))
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        window[axis] = slice(start, None if end < -(1 << 31) else end, step)
    return window


def _same(array: Array) -> Array:
    return array


LAYOUT = {
    "Identity": moving(_unchanged),
    "Dropout": moving(_unchanged),
    "Cast": moving(_cast),
    "Transpose": moving(_transpose),
    "Reshape": moving(_reshape),
    "Flatten": moving(_reshape),
    "Squeeze": moving(_reshape),
    "Unsqueeze": moving(_reshape),
    "Slice": moving(_slice),
}
