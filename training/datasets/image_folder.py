"""Images of one's own: a folder with one folder a class."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import UnidentifiedImageError
from pydantic import Field

from training.datasets.options import SplitOptions
from training.datasets.samples import Dataset, DatasetError, Samples
from training.datasets.splits import hold_out, train_and_validation
from training.inputs import CHANNELS, ImageInput, ResizeFilter
from training.transforms import pixels

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


class ImageFolderOptions(SplitOptions):
    """Where the images are, and how each becomes ``height`` x ``width`` pixels."""

    name: Literal["image_folder"] = "image_folder"
    folder: Path
    color: Literal["L", "RGB"] = "RGB"
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    resize_filter: ResizeFilter = "bilinear"
    crop_fraction: float | None = Field(default=None, gt=0, le=1)
    test_fraction: float = Field(default=0.2, gt=0, lt=1)


def load(options: ImageFolderOptions) -> Dataset:
    """Decode every image by the steps of `training.transforms` and split them.

    Raises:
        DatasetError: If the folder is missing, has fewer than two classes or one whose name is no
            text, a class has no image, or a file is not an image or is there twice.
    """
    expected = ImageInput(
        color=options.color,
        channels=CHANNELS[options.color],
        height=options.height,
        width=options.width,
        resize_filter=options.resize_filter,
        crop_fraction=options.crop_fraction,
    )
    classes = _classes(options.folder)
    samples = _samples(classes, expected)
    rest, test = hold_out(samples, options.test_fraction, options.split_seed)
    train, validation = train_and_validation(rest, options)
    labels = tuple(path.name for path in classes)
    return Dataset(train=train, validation=validation, test=test, labels=labels, input=expected)


def _classes(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"no folder {folder}; data.folder holds one folder of images per class")
    classes = sorted(path for path in _visible(folder) if path.is_dir())
    if len(classes) < 2:
        raise DatasetError(f"{folder} has {len(classes)} folders; two classes are the least")
    for path in classes:
        if not path.name.isprintable():  # bytes that are no UTF-8, or control characters
            raise DatasetError(f"{folder} has a folder {path.name!r}, which cannot be a label")
    return classes


def _visible(folder: Path) -> Iterator[Path]:
    """Leave out what notebooks, file managers and macOS hide among the images."""
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def _samples(classes: list[Path], expected: ImageInput) -> Samples:
    inputs, targets = [], []
    seen: dict[Path, Path] = {}
    for target, folder in enumerate(classes):
        files = sorted(path for path in _visible(folder) if path.suffix.lower() in _SUFFIXES)
        if not files:
            raise DatasetError(f"{folder} has no image ({', '.join(sorted(_SUFFIXES))})")
        for file in files:
            if (first := seen.setdefault(file.resolve(), file)) != file:
                # Learned from under one name, it would be measured under the other.
                raise DatasetError(f"{file} is the same file as {first}; remove one of the links")
            inputs.append(_decode(file, expected))
        targets += [target] * len(files)
    return Samples(np.stack(inputs), np.array(targets, dtype=np.int64))


def _decode(file: Path, expected: ImageInput) -> np.ndarray:
    try:
        return pixels(file, expected)
    except UnidentifiedImageError as error:
        raise DatasetError(f"{file} is not a JPEG, PNG or WebP image; remove it") from error
    except Exception as error:  # Pillow's decoders raise nearly every type on damaged files
        raise DatasetError(f"{file} cannot be decoded ({error})") from error
