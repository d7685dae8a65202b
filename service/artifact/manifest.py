"""Reads ``foldserve.manifest``, the JSON that an artifact carries in its metadata.

The writer is another program, deployed at another time; nothing of it is imported here, and
what it wrote in an older format is still read. An unknown ``format_version`` is refused by its
value, an unknown field by its name. `agreement` holds what it says against the graph.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from service.artifact.measured import (
    Fold,
    FoldV1,
    Metrics,
    Parity,
    ParityV1,
    Precision,
    Reliability,
)
from service.artifact.strict import Strict
from service.artifact.vector import Vector
from service.errors import ModelLoadError

METADATA_KEY = "foldserve.manifest"
# Characters. A thousand batch norms take half a million, 20,000 labels as many, the vector 300,000.
LONGEST = 4 * 2**20

# Pillow's filters by the manifest's names stand in service.preprocessing.
ResizeFilter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
# ImageNet networks take a few hundred; the bound keeps a damaged manifest from asking gigabytes.
Size = Annotated[int, Field(ge=1, le=16384)]


class ImageInput(Strict):
    """An input that is an image: raw values, scaling is inside the graph.

    NCHW is float32, channels first; NHWC is the pixels as they are decoded, uint8, channels last.
    """

    name: str
    kind: Literal["image"]
    layout: Literal["NCHW", "NHWC"]
    color: Literal["L", "RGB"]
    channels: Literal[1, 3]
    height: Size
    width: Size
    value_range: tuple[float, float]
    resize_filter: ResizeFilter
    crop_fraction: Annotated[float, Field(gt=0, le=1)] | None

    @property
    def datatype(self) -> str:
        """The type of the tensor, as a signature names it."""
        return "UINT8" if self.layout == "NHWC" else "FP32"

    @property
    def shape(self) -> tuple[int, int, int]:
        """The sizes of one image's tensor, without the batch."""
        if self.layout == "NHWC":
            return (self.height, self.width, self.channels)
        return (self.channels, self.height, self.width)


class ImageInputV1(ImageInput):
    """An image as format 1 knows it."""

    layout: Literal["NCHW"]


class TensorInput(Strict):
    """An input that is a plain tensor."""

    name: str
    kind: Literal["tensor"]
    value_range: tuple[float, float] | None


class Output(Strict):
    """What the first output means."""

    name: str
    kind: Literal["logits", "probabilities", "tensor"]


class Source(Strict):
    """What the artifact was made from."""

    kind: Literal["checkpoint", "onnx", "torch", "keras"]
    reference: str
    sha256: str | None


class Manifest(Strict):
    """What the graph alone cannot say, in the words of the format that it was written in.

    ``name`` and ``version`` are those of the build. A model answers by the folders that it lies
    in: to copy it to another name or version is a plain way of deploying it.
    """

    format_version: int
    name: str
    version: Annotated[int, Field(ge=1)]
    task: Literal["image-classification", "classification", "tensor"]
    labels: tuple[str, ...] | None
    input: ImageInput | TensorInput | None
    output: Output | None
    source: Source
    fold: Fold | FoldV1
    parity: Parity | ParityV1
    metrics: Metrics | None
    created_by: dict[str, str]

    @property
    def image(self) -> ImageInput | None:
        """The image input of an image classifier, or None."""
        classifies = self.output is not None and self.output.kind != "tensor"
        return self.input if isinstance(self.input, ImageInput) and classifies else None

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax; formats before the fourth have none."""
        return 1.0


class ManifestV1(Manifest):
    """Format 1: one kind of move, float32 images, no narrower numbers."""

    format_version: Literal[1]
    input: Annotated[ImageInputV1 | TensorInput, Field(discriminator="kind")] | None
    fold: FoldV1
    parity: ParityV1


class ManifestV2(Manifest):
    """Format 2: without a vector, so that nothing shows what it computes elsewhere."""

    format_version: Literal[2]
    input: Annotated[ImageInput | TensorInput, Field(discriminator="kind")] | None
    fold: Fold
    parity: Parity
    precision: Precision | None


class VerifiableManifest(Manifest):
    """With an input and what the model makes of it, so that it shows what it computes here."""

    input: Annotated[ImageInput | TensorInput, Field(discriminator="kind")] | None
    fold: Fold
    parity: Parity
    precision: Precision | None
    vector: Vector


class ManifestV3(VerifiableManifest):
    """Format 3: whose probabilities were not measured, and have no temperature."""

    format_version: Literal[3]


class ManifestV4(VerifiableManifest):
    """Format 4, the one that is written today."""

    format_version: Literal[4]
    reliability: Reliability | None

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax."""
        return 1.0 if self.reliability is None else self.reliability.temperature


_FORMATS: Mapping[int, type[Manifest]] = MappingProxyType(
    {1: ManifestV1, 2: ManifestV2, 3: ManifestV3, 4: ManifestV4}
)


def read_manifest(text: str) -> Manifest:
    """Parse a manifest.

    Raises:
        ModelLoadError: not JSON, an unknown format version, or a field that is not as stated.
    """
    if len(text) > LONGEST:
        raise ModelLoadError(f"the manifest is longer than {LONGEST} characters")
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelLoadError("the manifest is not JSON") from None
    form = _format(document)
    try:
        # JSON mode: an array is a tuple there, while true is still no number.
        return form.model_validate_json(text)
    except ValidationError as error:
        detail = error.errors()[0]
        field = ".".join(str(part) for part in detail["loc"])
        raise ModelLoadError(f"the manifest's {field}: {detail['msg']}") from None


def _format(document: Any) -> type[Manifest]:
    if not isinstance(document, dict):
        raise ModelLoadError("the manifest is not a JSON object")
    found = document.get("format_version")
    # JSON's 1.0 and true are equal to 1 and are no version.
    if type(found) is not int or found not in _FORMATS:
        raise ModelLoadError(
            f"manifest format_version {json.dumps(found)[:40]} is unknown;"
            f" this service reads {' and '.join(map(str, _FORMATS))}"
        )
    return _FORMATS[found]
