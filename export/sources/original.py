"""What is to be exported, as every reader hands it over."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Feeds = Mapping[str, NDArray[Any]]
Reference = Callable[[Feeds], list[NDArray[np.float64]]]
Layout = Literal["NCHW", "NHWC"]

PIXEL_RANGE = (0.0, 255.0)
LARGEST_INPUT = (
    1 << 27
)  # numbers: one input of 1 GB in float64, the most that is worth verifying on


@dataclass(frozen=True)
class ImageInput:
    """An image, as the graph takes it: raw pixel values.

    Attributes:
        color: Pillow's mode, "L" or "RGB".
        channels: 1 or 3.
        height: In pixels.
        width: In pixels.
        value_range: Smallest and largest pixel value.
        resize_filter: The filter that brings an image to this size.
        crop_fraction: How much of the resized image the crop keeps; None means no crop.
        layout: "NCHW": floats, channels first; "NHWC": uint8, channels last, as images are decoded.
    """

    color: str
    channels: int
    height: int
    width: int
    value_range: tuple[float, float] = PIXEL_RANGE
    resize_filter: str = "bilinear"
    crop_fraction: float | None = None
    layout: Layout = "NCHW"

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width, in the order of the layout."""
        if self.layout == "NHWC":
            return (self.height, self.width, self.channels)
        return (self.channels, self.height, self.width)


@dataclass(frozen=True)
class TensorInput:
    """Numbers that are no image.

    Attributes:
        shape: Without the batch; None where the graph alone knows it.
        value_range: Smallest and largest value, if known.
    """

    shape: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Provenance:
    """Where a model came from.

    Attributes:
        kind: The reader that read it.
        reference: File name without folder, or ``package.module:factory``.
        sha256: Of the file, or of the weights file of a factory, in hex.
        versions: Versions of what the reader used, by name.
    """

    kind: Literal["checkpoint", "onnx", "torch", "keras"]
    reference: str
    sha256: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Original:
    """A network before anything was folded.

    Attributes:
        model: Its graph, all batch norms in it, all tensors in memory.
        input: What it takes.
        provenance: Where it came from.
        reference: The same network in float64, if there is one: feeds by name to outputs in order.
        reference_name: What that is, for the report.
        labels: Class names, in the order of the logits.
        metrics: What was measured on held-out data.
        checkpoint: The checkpoint file, to be kept beside the artifact.
    """

    model: ir.Model
    input: ImageInput | TensorInput
    provenance: Provenance
    reference: Reference | None = None
    reference_name: str = ""
    labels: Sequence[str] | None = None
    metrics: Mapping[str, Any] | None = None
    checkpoint: Path | None = None


def wide(array: NDArray[Any]) -> NDArray[Any]:
    """Floats as float64; whole numbers as they are."""
    return array.astype(np.float64) if array.dtype.kind == "f" else array
