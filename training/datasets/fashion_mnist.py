"""Fashion-MNIST: 60,000 + 10,000 images of 28x28 pixels, IDX files in a folder."""

from pathlib import Path
from typing import Literal

import numpy as np

from training.datasets import idx
from training.datasets.options import SplitOptions
from training.datasets.samples import Dataset, DatasetError, Samples
from training.datasets.splits import train_and_validation
from training.inputs import ImageInput

LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_SIDE = 28  # pixels


class FashionMnistOptions(SplitOptions):
    """The folder's default is where Debian's package puts the files."""

    name: Literal["fashion_mnist"] = "fashion_mnist"
    folder: Path = Path("/usr/share/datasets/fashion-mnist")


def load(options: FashionMnistOptions) -> Dataset:
    """Read the four files; the published 10,000 are the held-out split.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", 2017.

    Raises:
        DatasetError: If a file is missing or malformed.
    """
    train, validation = train_and_validation(_samples(options.folder, "train"), options)
    return Dataset(
        train=train,
        validation=validation,
        test=_samples(options.folder, "t10k"),
        labels=LABELS,
        input=ImageInput(color="L", channels=1, height=_SIDE, width=_SIDE),
    )


def _samples(folder: Path, part: str) -> Samples:
    images = idx.read(_find(folder, f"{part}-images-idx3-ubyte"), dimensions=3)
    targets = idx.read(_find(folder, f"{part}-labels-idx1-ubyte"), dimensions=1)
    if images.shape[1:] != (_SIDE, _SIDE):
        raise DatasetError(f"{folder}: {part} images are {images.shape[1:]}, not {_SIDE}x{_SIDE}")
    if len(images) != len(targets):
        raise DatasetError(f"{folder}: {len(images)} {part} images but {len(targets)} labels")
    if targets.size and targets.max() >= len(LABELS):
        raise DatasetError(f"{folder}: a {part} label is {targets.max()}, the largest is 9")
    return Samples(images[:, np.newaxis], targets.astype(np.int64))


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise DatasetError(
        f"no {name} or {name}.gz in {folder}; on Debian and Ubuntu:"
        " apt install dataset-fashion-mnist; or put the four IDX files of"
        " github.com/zalandoresearch/fashion-mnist into a folder and name it as data.folder"
    )
