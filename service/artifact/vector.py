"""The parity vector: an input that follows from a seed, and what the model made of it at export.

The input is no list of numbers, which for a picture would be larger than many a model. Its numbers
are those of SplitMix64 (Steele, Lea and Flood, 2014), which is four lines in any language and no
version of a library changes. Number ``i`` of the stream, from 0, in 64 bits::

    z = seed + (i + 1) * 0x9E3779B97F4A7C15
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9
    z = (z ^ z >> 27) * 0x94D049BB133111EB
    u = (z ^ z >> 31) >> 40, divided by 2**24

The inputs take them one after the other in row-major order, as ``low + u * (high - low)`` in
float64; whole numbers and booleans are ``floor(low + u * (high + 1 - low))``. Of an output of more
than 256 numbers, the vector has those at ``floor(u * size)`` of the stream of ``seed + 1 + k`` for
the output ``k``.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from service.artifact.signature import Array
from service.artifact.strict import Strict

MOST_VALUES = 256
# Numbers of all inputs, 512 MB of float32: a damaged manifest does not take the memory.
_LARGEST = 2**27
# So many of them are made at once: half a megabyte for every step of the arithmetic.
_AT_ONCE = 2**16

_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB

Size = Annotated[int, Field(ge=0, le=2**40)]
# ONNX Runtime's tensors have far fewer dimensions; numpy takes 64.
Shape = Annotated[tuple[Size, ...], Field(max_length=16)]
# JSON has no infinity. Whole numbers of 64 bits are compared as such.
Value = Annotated[int, Field(ge=-(2**63), lt=2**64)] | float | Literal["nan", "inf", "-inf"]
# float32's range: what is beyond makes no number of any input.
End = Annotated[float, Field(ge=-3.4e38, le=3.4e38)]


class VectorInput(Strict):
    """One input: its sizes, the batch's too, and from where to where its numbers go."""

    name: str
    shape: Shape
    low: End
    high: End


class VectorOutput(Strict):
    """One output: all its numbers, or `MOST_VALUES` of them, and the largest of them all."""

    name: str
    shape: Shape
    scale: Annotated[float, Field(ge=0)]
    values: Annotated[tuple[Value, ...], Field(max_length=MOST_VALUES)]

    @model_validator(mode="after")
    def _is_whole(self) -> "VectorOutput":
        if len(self.values) != min(math.prod(self.shape), MOST_VALUES):
            raise ValueError(f"{len(self.values)} values do not belong to the shape {self.shape}")
        return self


class Tolerance(Strict):
    """How far off an output may be where it is computed by one provider or the other.

    Of its ``scale``; of whole numbers, which are classes more often than quantities, the share
    that may be others.
    """

    cpu: Annotated[float, Field(gt=0, le=1)]
    cuda: Annotated[float, Field(gt=0, le=1)]


class Vector(Strict):
    """A seed, what it is made into, and what came of it."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    inputs: tuple[VectorInput, ...]
    outputs: Annotated[tuple[VectorOutput, ...], Field(min_length=1)]
    tolerance: Tolerance

    @model_validator(mode="after")
    def _is_small(self) -> "Vector":
        if sum(math.prod(one.shape) for one in self.inputs) > _LARGEST:
            raise ValueError(f"the inputs have more than {_LARGEST} numbers")
        return self


def inputs_of(vector: Vector, types: dict[str, np.dtype[np.generic]]) -> dict[str, Array]:
    """Make the inputs.

    Args:
        vector: that states them.
        types: of the elements, by the inputs' names.
    """
    made: dict[str, Array] = {}
    start = 0
    for one in vector.inputs:
        made[one.name] = _made(vector.seed, start, one, types[one.name])
        start += made[one.name].size
    return made


def positions_of(vector: Vector, index: int) -> NDArray[np.int64]:
    """Return which numbers of the output ``index`` the vector has, as places in row-major order."""
    size = math.prod(vector.outputs[index].shape)
    if size <= MOST_VALUES:
        return np.arange(size)
    return (_units(vector.seed + 1 + index, 0, MOST_VALUES) * size).astype(np.int64)


def _made(seed: int, start: int, one: VectorInput, dtype: np.dtype[np.generic]) -> Array:
    array = np.empty(math.prod(one.shape), dtype)
    is_whole = dtype.kind in "iub"
    span = one.high - one.low + is_whole
    done = 0
    with np.errstate(all="ignore"):  # a range that the type does not hold is answered by the run
        for numbers in _chunks(seed, start, array.size):
            values = one.low + numbers * span
            array[done : done + len(values)] = np.floor(values) if is_whole else values
            done += len(values)
    return array.reshape(one.shape)


def _chunks(seed: int, start: int, count: int) -> Iterator[NDArray[np.float64]]:
    for first in range(0, count, _AT_ONCE):
        yield _units(seed, start + first, min(_AT_ONCE, count - first))


def _units(seed: int, start: int, count: int) -> NDArray[np.float64]:
    """Return numbers from 0 to below 1; arrays of whole numbers wrap around without a word."""
    z = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    z = z * np.uint64(_GAMMA) + np.uint64(seed)
    z = (z ^ z >> np.uint64(30)) * np.uint64(_FIRST)
    z = (z ^ z >> np.uint64(27)) * np.uint64(_SECOND)
    return ((z ^ z >> np.uint64(31)) >> np.uint64(40)).astype(np.float64) / 2.0**24
