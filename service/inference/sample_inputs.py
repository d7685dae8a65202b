"""Inputs that a model surely takes, made of its signature and manifest alone."""

import math
import random

import numpy as np
from numpy.typing import NDArray

from service.artifact.signature import Array, Signature, Tensors, TensorSpec
from service.inference.model import Model

_SEED = 0

MOST_NUMBERS = 2**27
"""Of all inputs together, half a gigabyte of float32: a damaged file does not take the memory."""


def has_known_sizes(signature: Signature) -> bool:
    """Return whether every size is fixed but for a batch dimension."""
    first = 1 if signature.batches else 0
    return all(isinstance(dim, int) for spec in signature.inputs for dim in spec.shape[first:])


def numbers_of_a_row(signature: Signature) -> int:
    """Return how many numbers all inputs have together; a size that is open counts once."""
    return sum(math.prod(_shape(spec, 1)) for spec in signature.inputs)


def zeros(model: Model) -> Tensors:
    """Return zeros for every input, of one row where the model batches.

    Args:
        model: with known sizes.
    """
    return {
        spec.name: np.full(_shape(spec, 1), "" if spec.datatype == "BYTES" else 0, spec.dtype)
        for spec in model.signature.inputs
    }


def random_rows(model: Model, rows: int) -> Tensors:
    """Return the same random numbers at every call, for every input.

    Numbers are of the manifest's range, all bytes for a picture, or from 0 to 1.

    Args:
        model: with known sizes.
        rows: how many, where the model batches.
    """
    # Python's own: numpy's generators are 3 MB of libraries, for some first runs.
    rng = random.Random(_SEED)  # noqa: S311 -- nothing secret
    return {spec.name: _random(spec, rows, model, rng) for spec in model.signature.inputs}


def _shape(spec: TensorSpec, rows: int) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else rows for dim in spec.shape)


def _random(spec: TensorSpec, rows: int, model: Model, rng: random.Random) -> Array:
    shape = _shape(spec, rows)
    if spec.datatype == "BYTES":
        words: Array = np.array(["", "a"], object)[_whole(rng, shape) % 2]
        return words
    if spec.dtype.kind != "f":
        return (_whole(rng, shape) % (_highest(model) + 1)).astype(spec.dtype)
    low, high = _range(model)
    return (low + _whole(rng, shape) * ((high - low) / 2**32)).astype(spec.dtype)


def _whole(rng: random.Random, shape: tuple[int, ...]) -> NDArray[np.uint32]:
    """Return whole numbers of 32 random bits."""
    return np.frombuffer(rng.randbytes(4 * math.prod(shape)), np.uint32).reshape(shape)


def _highest(model: Model) -> int:
    """Return the highest whole number that the model surely takes: others may be indices."""
    is_image = model.manifest is not None and model.manifest.image is not None
    return 255 if is_image else 1


def _range(model: Model) -> tuple[float, float]:
    stated = model.manifest.input if model.manifest else None
    return (stated and stated.value_range) or (0.0, 1.0)
