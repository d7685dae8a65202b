"""What a user says about a source that cannot say it itself, checked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.errors import UsageError
from export.sources.original import LARGEST_INPUT, ImageInput, TensorInput

CHANNELS = {"L": 1, "RGB": 3}
MOST_DIGITS = 9  # of one size
RESIZE_FILTERS = ("nearest", "box", "bilinear", "bicubic", "lanczos")


@dataclass(frozen=True)
class SourceOptions:
    """Options of a source; a checkpoint has them in its header and takes none but `seed`.

    Attributes:
        weights: State dict of a factory's module, .safetensors, .pth or .pt.
        input_shape: Shape of one input, without the batch.
        labels: File of class names, one a line.
        color: "L" or "RGB": says that the input is an image.
        mean: Mean of every channel in units of 0..1, subtracted inside the graph.
        std: Standard deviation of every channel in units of 0..1, divided by inside the graph.
        resize_filter: How the service is to resize images.
        crop_fraction: How much of the resized image the service is to keep.
        seed: Seed for a factory that draws its weights.
    """

    weights: Path | None = None
    input_shape: tuple[int, ...] | None = None
    labels: Path | None = None
    color: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize_filter: str | None = None
    crop_fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise `UsageError` for values that no source could use."""
        if self.input_shape is not None and math.prod(self.input_shape) > LARGEST_INPUT:
            raise UsageError(
                f"--input {_times(self.input_shape)}: more than {LARGEST_INPUT} numbers"
            )
        if self.color is not None and self.color not in CHANNELS:
            raise UsageError(f"--color {self.color}: take one of {', '.join(CHANNELS)}")
        if self.resize_filter is not None and self.resize_filter not in RESIZE_FILTERS:
            raise UsageError(
                f"--resize-filter {self.resize_filter}: take one of {', '.join(RESIZE_FILTERS)}"
            )
        if self.crop_fraction is not None and not 0 < self.crop_fraction <= 1:
            raise UsageError(
                f"--crop-fraction {self.crop_fraction}: take a number above 0, at most 1"
            )
        if self.std is not None and not all(value > 0 for value in self.std):
            raise UsageError("--std: every number must be positive")

    @property
    def is_image(self) -> bool:
        """Whether an option says that the input is an image."""
        said = (self.color, self.mean, self.std, self.resize_filter, self.crop_fraction)
        return any(value is not None for value in said)

    def given(self) -> list[str]:
        """The options that were given, as the command line calls them."""
        names = {"input_shape": "--input"}
        return [
            names.get(name, "--" + name.replace("_", "-"))
            for name, value in vars(self).items()
            if value is not None and name != "seed"
        ]


def describe_input(
    options: SourceOptions, shape: tuple[int, ...] | None
) -> ImageInput | TensorInput:
    """The input description that the options and the known shape make up.

    Args:
        options: What the user said.
        shape: Shape of one input, without the batch.

    Raises:
        UsageError: The options speak of an image and the shape is none.
    """
    if not options.is_image:
        return TensorInput(shape)
    if shape is None or len(shape) != 3 or shape[0] not in CHANNELS.values():
        raise UsageError(
            f"{options.given()[0]}: the input {_times(shape)} is no image of 1 or 3 channels"
        )
    color = options.color or next(name for name, count in CHANNELS.items() if count == shape[0])
    if CHANNELS[color] != shape[0]:
        raise UsageError(f"--color {color}: the input {_times(shape)} has {shape[0]} channels")
    _check_per_channel("--mean", options.mean, shape[0])
    _check_per_channel("--std", options.std, shape[0])
    return ImageInput(
        color,
        *shape,
        resize_filter=options.resize_filter or "bilinear",
        crop_fraction=options.crop_fraction,
    )


def read_labels(path: Path | None) -> tuple[str, ...] | None:
    """Class names from a file, one a line.

    Raises:
        UsageError: The file cannot be read, is empty, or has an empty line before its end.
    """
    if path is None:
        return None
    try:
        labels = tuple(path.read_text("utf-8-sig").rstrip("\n").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--labels {path}: cannot be read ({error})") from error
    if not labels or not all(label.strip() for label in labels):
        raise UsageError(f"--labels {path}: every line must hold one label")
    return labels


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    """``3x224x224`` as numbers.

    Raises:
        UsageError: It is not that.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdecimal() and len(part) <= MOST_DIGITS and int(part) > 0 for part in parts):
        raise UsageError(f"--input {text}: write the shape of one input like 3x224x224")
    return tuple(int(part) for part in parts)


def parse_numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """``0.485,0.456,0.406`` as numbers.

    Raises:
        UsageError: It is not that.
    """
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text}: write numbers like 0.485,0.456,0.406") from error
    if not all(math.isfinite(number) for number in numbers):
        raise UsageError(f"{option} {text}: every number must be finite")
    return numbers


def check_fits(given: Sequence[int], sizes: Sequence[int | None], name: str) -> None:
    """Raise `UsageError` unless a shape agrees with what a model says of an input.

    Args:
        given: Shape of one input, as the user says it.
        sizes: What the model says, None where it leaves a size free.
        name: The input, in words.
    """
    if len(given) != len(sizes) or any(
        size not in (None, number) for size, number in zip(sizes, given, strict=True)
    ):
        raise UsageError(f"--input {_times(tuple(given))}: input {name} is {sizes_of(sizes)}")


def sizes_of(shape: Sequence[int | None]) -> str:
    """A shape as ``3x?x?``."""
    return "x".join("?" if size is None else str(size) for size in shape) or "one number"


def _check_per_channel(option: str, values: Sequence[float] | None, channels: int) -> None:
    if values is not None and len(values) not in (1, channels):
        raise UsageError(f"{option}: give 1 or {channels} numbers, not {len(values)}")


def _times(shape: tuple[int, ...] | None) -> str:
    return "x".join(map(str, shape)) if shape else "of unknown shape"
