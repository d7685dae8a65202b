"""CIFAR-10: 50,000 + 10,000 colour images of 32x32 pixels, the published python batches."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.datasets import python_batch
from training.datasets.options import SplitOptions
from training.datasets.samples import Dataset, DatasetError, Samples
from training.datasets.splits import train_and_validation
from training.inputs import ImageInput

_SHAPE = (3, 32, 32)  # channels, rows, columns: as a batch stores a row
_CLASSES = 10
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))


class Cifar10Options(SplitOptions):
    """The folder is the one that the published archive unpacks to."""

    name: Literal["cifar10"] = "cifar10"
    folder: Path = Path("data/cifar-10-batches-py")


def load(options: Cifar10Options) -> Dataset:
    """Read the six batches, without unpickling; the published test batch is held out.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.

    Raises:
        DatasetError: If a file is missing or holds what the published ones do not.
    """
    parts = [_samples(options.folder / name) for name in _TRAIN]
    together = Samples(
        np.concatenate([part.inputs for part in parts]),
        np.concatenate([part.targets for part in parts]),
    )
    train, validation = train_and_validation(together, options)
    return Dataset(
        train=train,
        validation=validation,
        test=_samples(options.folder / "test_batch"),
        labels=_labels(options.folder / "batches.meta"),
        input=ImageInput(color="RGB", channels=3, height=32, width=32),
    )


def _read(path: Path) -> dict[bytes, Any]:
    if not path.is_file():
        raise DatasetError(
            f"no {path}; unpack cifar-10-python.tar.gz of www.cs.toronto.edu/~kriz/cifar.html"
            " and name its folder cifar-10-batches-py as data.folder"
        )
    try:
        return python_batch.parse(path.read_bytes())
    except python_batch.PythonBatchError as error:
        raise DatasetError(f"{path} is not a published batch: {error}") from error


def _samples(path: Path) -> Samples:
    batch = _read(path)
    images, targets = batch.get(b"data"), batch.get(b"labels")
    if not isinstance(images, np.ndarray) or not isinstance(targets, list):
        raise DatasetError(f"{path} is not a published batch: no data and labels in it")
    return Samples(_images(path, images), _targets(path, targets, len(images)))


def _images(path: Path, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if rows.ndim != 2 or rows.shape[1] != np.prod(_SHAPE):
        raise DatasetError(f"{path}: images of shape {rows.shape}, expected (N, 3072)")
    return rows.reshape(-1, *_SHAPE)


def _targets(path: Path, targets: list[Any], count: int) -> NDArray[np.int64]:
    if len(targets) != count or not all(target in range(_CLASSES) for target in targets):
        raise DatasetError(f"{path}: its labels are not {count} numbers from 0 to 9")
    return np.array(targets, dtype=np.int64)


def _labels(path: Path) -> tuple[str, ...]:
    names = _read(path).get(b"label_names")
    if not isinstance(names, list) or len(names) != _CLASSES:
        raise DatasetError(f"{path}: no ten label_names in it")
    if not all(isinstance(name, bytes) and name.isascii() for name in names):
        raise DatasetError(f"{path}: its label_names are not ASCII text")
    return tuple(name.decode() for name in names)
