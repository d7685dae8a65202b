"""The first runs of a model, before any request: does it run, and may requests share a run?

A symbolic batch dimension says that there is a row out for each row in, not that a row is
left alone by the others: a softmax over the wrong axis mixes them. Batched, such a model
would answer one client with what another sent, so two rows are run together and apart.
"""

import numpy as np

from service.errors import InferenceFailed, ModelLoadError
from service.model import Model
from service.signature import Array, Signature, TensorSpec

# Of the largest output. Half precision and other kernels for other batches stay below 1e-3;
# a row that is mixed with another, where both are random, is off by far more.
_ROW_TOLERANCE = 1e-2

_SEED = 0


def warm_up(model: Model) -> None:
    """Run a model once on zeros, so that the first request does not pay for it; blocks.

    A model with open sizes other than the batch has no shape to try and is left.

    Raises:
        ModelLoadError: the model opens and does not run.
    """
    if not _has_known_sizes(model.signature):
        return
    try:
        model.run({spec.name: _zeros(spec) for spec in model.signature.inputs})
    except InferenceFailed as error:
        raise ModelLoadError("the model opens and fails on its first run") from error


def keeps_rows_apart(model: Model) -> bool:
    """Return whether two random rows have the same answers together as alone; blocks.

    Args:
        model: whose signature batches. Where its sizes are open, its word is taken.
    """
    if not _has_known_sizes(model.signature):
        return True
    rng = np.random.default_rng(_SEED)
    rows = {spec.name: _random_rows(spec, model, rng) for spec in model.signature.inputs}
    try:
        together = model.run(rows)
        alone = [model.run({name: rows[name][i : i + 1] for name in rows}) for i in range(2)]
    except InferenceFailed:  # a size of one is built into many graphs that say otherwise
        return False
    return all(
        _agree(together[name], np.concatenate([each[name] for each in alone])) for name in together
    )


def _has_known_sizes(signature: Signature) -> bool:
    """Return whether every size is fixed but for a batch dimension."""
    first = 1 if signature.batches else 0
    return all(isinstance(dim, int) for spec in signature.inputs for dim in spec.shape[first:])


def _zeros(spec: TensorSpec) -> Array:
    shape = [dim if isinstance(dim, int) else 1 for dim in spec.shape]
    return np.full(shape, "" if spec.datatype == "BYTES" else 0, spec.dtype)


def _random_rows(spec: TensorSpec, model: Model, rng: np.random.Generator) -> Array:
    """Return two rows: numbers of the manifest's range, all bytes for a picture, or 0 and 1."""
    shape = (2, *(dim for dim in spec.shape[1:] if isinstance(dim, int)))
    if spec.datatype == "BYTES":
        return rng.choice(np.array(["", "a"], object), shape)
    if spec.dtype.kind != "f":
        return rng.integers(0, _highest(model), shape, endpoint=True).astype(spec.dtype)
    low, high = _range(model)
    return rng.uniform(low, high, shape).astype(spec.dtype)


def _highest(model: Model) -> int:
    """Return the highest whole number that the model surely takes: others may be indices."""
    is_image = model.manifest is not None and model.manifest.image is not None
    return 255 if is_image else 1


def _range(model: Model) -> tuple[float, float]:
    stated = model.manifest.input if model.manifest else None
    return (stated and stated.value_range) or (0.0, 1.0)


def _agree(together: Array, alone: Array) -> bool:
    if together.shape != alone.shape:
        return False
    if together.dtype.kind != "f":
        return bool((together == alone).all())
    finite = np.abs(alone[np.isfinite(alone)])
    bound = _ROW_TOLERANCE * float(finite.max(initial=0))
    return np.allclose(together, alone, rtol=0, atol=bound, equal_nan=True)
