"""Does a model compute on this machine what it computed at export?

Its manifest carries an input and the outputs of that day. Other kernels, threads and providers
round otherwise, within the vector's tolerance; damaged weights, a library that computes wrongly or
a processor that saturates where another does not are far outside of it. It is no seal: whoever can
write the weights can write the vector as well. Against that stands the lock.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.artifact.manifest import VerifiableManifest
from service.artifact.signature import Array
from service.artifact.vector import VectorOutput, inputs_of, positions_of
from service.errors import ModelLoadError, RunError
from service.inference.model import Model

CUDA = "CUDA"


def check_parity(model: Model) -> bool:
    """Run the vector of a model's manifest and compare; blocks for one run.

    Args:
        model: open.

    Returns:
        False if there is none: a plain ONNX file, or a manifest of a format before 3.

    Raises:
        ModelLoadError: the outputs are others than at export; the message names the first.
    """
    if not isinstance(model.manifest, VerifiableManifest):
        return False
    vector = model.manifest.vector
    types = {spec.name: spec.dtype for spec in model.signature.inputs}
    try:
        found = model.run(inputs_of(vector, types))
    except RunError as error:
        raise ModelLoadError(
            "the model fails on its manifest's vector, on which it ran at export"
        ) from error
    stated = vector.tolerance
    tolerance = stated.cuda if model.provider == CUDA else stated.cpu
    for index, output in enumerate(vector.outputs):
        _check_output(output, found[output.name], positions_of(vector, index), tolerance)
    return True


def _check_output(
    stated: VectorOutput, found: Array, positions: NDArray[np.int64], tolerance: float
) -> None:
    if found.shape != stated.shape:
        raise ModelLoadError(
            f"output {stated.name!r} is {list(found.shape)} here and was {list(stated.shape)}"
            " at export"
        )
    if found.dtype.kind not in "fiub":
        raise ModelLoadError(f"output {stated.name!r} has no numbers to compare")
    values = found.reshape(-1)[positions]
    is_float = found.dtype.kind == "f"
    wrong = (
        _far(values, stated.values, tolerance * stated.scale)
        if is_float
        else _others(values, stated.values)
    )
    if not len(wrong) or (not is_float and len(wrong) <= tolerance * len(values)):
        return
    at = int(wrong[0])
    place = [int(axis) for axis in np.unravel_index(int(positions[at]), found.shape)]
    raise ModelLoadError(
        f"output {stated.name!r} at {place} is {values[at]:.7g} here and was"
        f" {float(stated.values[at]):.7g} at export: the model does not compute on this machine"
        " what it computed then"
    )


def _far(values: Array, expected: Sequence[Any], bound: float) -> NDArray[np.intp]:
    """Return which floats are far; NaN and infinity are near to themselves alone."""
    wanted = np.array([float(one) for one in expected])
    near = np.isclose(values.astype(np.float64), wanted, rtol=0, atol=bound, equal_nan=True)
    return np.flatnonzero(~near)


def _others(values: Array, expected: Sequence[Any]) -> NDArray[np.intp]:
    """Return which whole numbers are others."""
    pairs = zip(values.tolist(), expected, strict=True)
    return np.flatnonzero([one != other for one, other in pairs])
