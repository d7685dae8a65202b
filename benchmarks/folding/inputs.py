"""Random images that differ from each other as images do.

White noise has nothing coarse in it: average it over a whole image and all images are alike. A
batch norm behind a global pooling then finds next to no variance and blows up rounding errors,
which no trained network does. So every sample has its own colour and coarse shapes besides.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COARSE = 4  # patches along each spatial axis


def images(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Random samples of mean 0 and about unit variance.

    Args:
        shape: (batch, channels, *spatial); for fewer than two axes, white noise.
        rng: Draws them.
    """
    fine = rng.normal(size=shape)
    if len(shape) < 2:
        return fine.astype(np.float32)
    batch, channels, *spatial = shape
    colour = rng.normal(size=(batch, channels, *(1 for _ in spatial)))
    coarse = rng.normal(size=(batch, channels, *(min(COARSE, size) for size in spatial)))
    for axis, size in enumerate(spatial, start=2):
        patches = np.arange(size) * coarse.shape[axis] // size
        coarse = coarse.take(patches, axis=axis)
    samples: NDArray[np.float32] = ((fine + colour + coarse) / np.sqrt(3)).astype(np.float32)
    return samples
