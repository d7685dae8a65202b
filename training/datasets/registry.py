"""Data sets by name, as configurations and checkpoints call them."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from training.datasets import cifar10, digits, fashion_mnist, image_folder, mnist1d
from training.datasets.samples import Dataset, DatasetError
from training.models import describe

DataOptions = Annotated[
    digits.DigitsOptions
    | fashion_mnist.FashionMnistOptions
    | mnist1d.Mnist1dOptions
    | cifar10.Cifar10Options
    | image_folder.ImageFolderOptions,
    Field(discriminator="name"),
]
"""The options of one data set; ``name`` says of which."""

_OPTIONS: TypeAdapter[Any] = TypeAdapter(DataOptions)
_LOADERS: dict[str, Callable[[Any], Dataset]] = {
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
    "mnist1d": mnist1d.load,
    "cifar10": cifar10.load,
    "image_folder": image_folder.load,
}

NAMES = tuple(_LOADERS)
"""Every data set that `load` knows."""


def load(options: Mapping[str, Any] | DataOptions) -> Dataset:
    """Read a data set; the same options give the same three splits.

    Args:
        options: ``name`` and the options of that data set, as a checkpoint's ``data`` has them.

    Raises:
        DatasetError: If the options are wrong, or the data set is missing or malformed.
    """
    try:
        parsed = _OPTIONS.validate_python(options)
    except ValidationError as error:
        raise DatasetError(f"data: {describe(error)}") from error
    return _LOADERS[parsed.name](parsed)
