"""Whether two arrays say the same but for rounding."""

import numpy as np

from service.artifact.signature import Array


def is_near(array: Array, reference: Array, tolerance: float) -> bool:
    """Return whether an array is another, floats but for a little.

    NaN and infinity are near to themselves alone.

    Args:
        array: of any type and shape.
        reference: what it should be.
        tolerance: of the largest finite value of the reference; counts for floats.
    """
    if array.shape != reference.shape:
        return False
    if array.dtype.kind != "f":
        return bool((array == reference).all())
    finite = np.abs(reference[np.isfinite(reference)])
    bound = tolerance * float(finite.max(initial=0))
    return np.allclose(array, reference, rtol=0, atol=bound, equal_nan=True)
