"""Gauges: how a tensor is stored.

A tensor need not hold the numbers that the network means; it may hold an affine of them, if
whatever computes it and whatever reads it agree:

    stored = encode(true)        true = decode(stored)

A batch norm is a change of gauge. It disappears when the tensors around it are stored such that it
has nothing left to do, and the operators around those absorb the rest. A gauge of one direction
alone is enough in places: a gamma of 0 lets a convolution *write* ``0 * x + beta``, though nobody
could read x back out of that.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from export.folding.affine import Affine, Array
from export.folding.constants import RefusalError

# Two ways around a loop of the graph come to the same gauge up to rounding in float64.
SAME = 1e-12


@dataclass(frozen=True, eq=False)
class Gauge:
    """An affine between what is meant and what is stored; at least one direction is there.

    Attributes:
        encoding: From true to stored; None where that would divide by zero.
        decoding: From stored to true; likewise, or where it would lose digits.
    """

    encoding: Affine | None
    decoding: Affine | None

    @property
    def encode(self) -> Affine:
        """From true to stored.

        Raises:
            RefusalError: Only the other direction is known.
        """
        if self.encoding is None:
            raise RefusalError("its scale is zero in a channel, and would have to be divided by")
        return self.encoding

    @property
    def decode(self) -> Affine:
        """From stored to true.

        Raises:
            RefusalError: Only the other direction is known.
        """
        if self.decoding is None:
            raise RefusalError("its scale is too close to zero in a channel to be undone elsewhere")
        return self.decoding

    @property
    def primary(self) -> Affine:
        """The direction that is there, encoding first; both have the same shape and signs."""
        return self.encode if self.encoding is not None else self.decode

    @property
    def is_identity(self) -> bool:
        """Whether stored and true are the same."""
        return self.primary.is_identity

    @property
    def only_scales(self) -> bool:
        """Whether zero is stored as zero."""
        return self.primary.only_scales

    @property
    def keeps_order(self) -> bool:
        """Whether what is larger is stored as larger."""
        return bool((self.primary.scale > 0).all())

    def map(self, change: Callable[[Array], Array]) -> "Gauge":
        """The gauge whose arrays are those of this one, rearranged by `change`."""
        return Gauge(_map(self.encoding, change), _map(self.decoding, change))

    def is_same_as(self, other: "Gauge") -> bool:
        """Whether both store the same."""
        if self is other:
            return True
        if self.encoding is not None and other.encoding is not None:
            return _are_same(self.encoding, other.encoding)
        if self.decoding is not None and other.decoding is not None:
            return _are_same(self.decoding, other.decoding)
        return False


def encoding(affine: Affine, recoverable: bool = True) -> Gauge:
    """The gauge that stores ``affine(true)``.

    Args:
        affine: From true to stored.
        recoverable: Whether reading the true value back keeps its digits.
    """
    return Gauge(affine, _inverse(affine) if recoverable else None)


def decoding(affine: Affine) -> Gauge:
    """The gauge of a tensor whose stored numbers x mean ``affine(x)``."""
    return Gauge(_inverse(affine), affine)


def along_axis(array: Array, axis: int, channels: int, described: str) -> Array:
    """An array that varies along one axis at most, as shape (channels,).

    Args:
        array: Of the rank of the tensor.
        axis: The axis that may vary, counted from either end.
        channels: Its size.
        described: The operator, to begin a refusal with.

    Raises:
        RefusalError: It varies along another axis.
    """
    axis %= array.ndim
    for other, size in enumerate(array.shape):
        if other != axis and size != 1:
            raise RefusalError(
                f"{described} works along axis {axis}, what it would absorb varies along {other}"
            )
    vector = array.reshape(-1)
    if len(vector) not in {1, channels}:
        raise RefusalError(f"{described} has {channels} channels, not {len(vector)}")
    return np.broadcast_to(vector, (channels,))


def per_channel(affine: Affine, axis: int, channels: int, described: str) -> Affine:
    """An affine that varies along one axis at most, as vectors; see `along_axis`."""
    return Affine(
        along_axis(affine.scale, axis, channels, described),
        along_axis(affine.shift, axis, channels, described),
    )


def narrowed(array: Array) -> Array:
    """The array without the axes along which it is everywhere the same (they become 1)."""
    for axis, size in enumerate(array.shape):
        first = array.take([0], axis=axis)
        if size > 1 and (array == first).all():
            array = first
    return array


def _map(affine: Affine | None, change: Callable[[Array], Array]) -> Affine | None:
    return None if affine is None else Affine(change(affine.scale), change(affine.shift))


def _inverse(affine: Affine) -> Affine | None:
    try:
        return affine.inverse()
    except ZeroDivisionError:
        return None


def _are_same(one: Affine, other: Affine) -> bool:
    return _are_close(one.scale, other.scale) and _are_close(one.shift, other.shift)


def _are_close(mine: Array, theirs: Array) -> bool:
    if mine is theirs:
        return True
    largest = float(np.abs(mine).max(initial=0))
    return bool(np.abs(mine - theirs).max(initial=0) <= SAME * largest)
