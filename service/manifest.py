"""Reads ``foldserve.manifest``, the JSON that an artifact carries in its metadata.

The writer is another program, deployed at another time; nothing of it is imported here.
An unknown ``format_version`` is refused by its value, an unknown field by its name, and
what the manifest says is checked against what the graph says.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import ModelLoadError
from service.signature import Dim, Signature, TensorSpec

METADATA_KEY = "foldserve.manifest"
FORMAT_VERSION = 1

# Pillow's filters by the manifest's names stand in service.preprocessing.
ResizeFilter = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
# ImageNet networks take a few hundred; the bound keeps a damaged manifest from asking gigabytes.
Size = Annotated[int, Field(ge=1, le=16384)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ImageInput(_Strict):
    """An input that is an image: raw values, channels first; scaling is inside the graph."""

    name: str
    kind: Literal["image"]
    layout: Literal["NCHW"]
    color: Literal["L", "RGB"]
    channels: Literal[1, 3]
    height: Size
    width: Size
    value_range: tuple[float, float]
    resize_filter: ResizeFilter
    crop_fraction: Annotated[float, Field(gt=0, le=1)] | None


class TensorInput(_Strict):
    """An input that is a plain tensor."""

    name: str
    kind: Literal["tensor"]
    value_range: tuple[float, float] | None


class Output(_Strict):
    """What the first output means."""

    name: str
    kind: Literal["logits", "probabilities", "tensor"]


class Source(_Strict):
    """What the artifact was made from."""

    kind: Literal["checkpoint", "onnx", "torch", "keras"]
    reference: str
    sha256: str | None


class FoldedNode(_Strict):
    """The outcome of one batch norm."""

    name: str
    outcome: str
    into: str | None
    reason: str | None


class Fold(_Strict):
    """How many batch norms there were, are left, and what became of each."""

    bn_before: Annotated[int, Field(ge=0)]
    bn_after: Annotated[int, Field(ge=0)]
    nodes: tuple[FoldedNode, ...]


class Parity(_Strict):
    """The errors measured at export against a reference of higher precision."""

    reference: str
    samples: int
    seed: int
    max_abs_error: float
    max_rel_error: float
    unfolded_max_rel_error: float | None = None
    top1_agreement: float | None
    tolerance: float


class Metrics(_Strict):
    """The accuracy on the held-out split."""

    accuracy: float
    samples: int
    split: str


class Manifest(_Strict):
    """What the graph alone cannot say."""

    format_version: Literal[1]
    name: str
    version: Annotated[int, Field(ge=1)]
    task: Literal["image-classification", "classification", "tensor"]
    labels: tuple[str, ...] | None
    input: Annotated[ImageInput | TensorInput, Field(discriminator="kind")] | None
    output: Output | None
    source: Source
    fold: Fold
    parity: Parity
    metrics: Metrics | None
    created_by: dict[str, str]

    @property
    def image(self) -> ImageInput | None:
        """The image input of an image classifier, or None."""
        classifies = self.output is not None and self.output.kind != "tensor"
        return self.input if isinstance(self.input, ImageInput) and classifies else None


def read_manifest(text: str) -> Manifest:
    """Parse a manifest.

    Raises:
        ModelLoadError: not JSON, an unknown format version, or a field that is not as stated.
    """
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelLoadError("the manifest is not JSON") from None
    _refuse_unknown_format(document)
    try:
        # JSON mode: an array is a tuple there, while true is still no number.
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        detail = error.errors()[0]
        field = ".".join(str(part) for part in detail["loc"])
        raise ModelLoadError(f"the manifest's {field}: {detail['msg']}") from None


def check_manifest(manifest: Manifest, signature: Signature) -> None:
    """Compare what the manifest says with what the graph says.

    Raises:
        ModelLoadError: they contradict each other; the message names the field.
    """
    if manifest.input is not None:
        _check_input(manifest.input, signature)
    if manifest.output is not None:
        _check_output(manifest, manifest.output, signature)


def _refuse_unknown_format(document: Any) -> None:
    if not isinstance(document, dict):
        raise ModelLoadError("the manifest is not a JSON object")
    found = document.get("format_version")
    if found != FORMAT_VERSION or isinstance(found, bool):
        raise ModelLoadError(
            f"manifest format_version {json.dumps(found)[:40]} is unknown;"
            f" this service reads {FORMAT_VERSION}"
        )


def _check_input(stated: ImageInput | TensorInput, signature: Signature) -> None:
    spec = _named(stated.name, signature.inputs, "input")
    if isinstance(stated, TensorInput):
        return
    if len(signature.inputs) != 1:
        raise ModelLoadError("the manifest states one image, the graph has several inputs")
    if spec.datatype != "FP32":
        raise ModelLoadError(f"the graph's input is {spec.datatype}, an image is FP32")
    sizes = (1, stated.channels, stated.height, stated.width)
    if len(spec.shape) != len(sizes) or not all(map(_fits, spec.shape, sizes)):
        raise ModelLoadError(
            f"one image of the manifest is {list(sizes)},"
            f" the graph's input is {list(spec.wire_shape)}"
        )
    if {"L": 1, "RGB": 3}[stated.color] != stated.channels:
        raise ModelLoadError(
            f"the manifest's color {stated.color} does not have {stated.channels} channels"
        )


def _check_output(manifest: Manifest, stated: Output, signature: Signature) -> None:
    spec = _named(stated.name, signature.outputs, "output")
    shape = list(spec.wire_shape)
    if stated.kind == "tensor":
        return
    if spec.datatype not in {"FP16", "FP32", "FP64"}:
        raise ModelLoadError(f"the graph's output is {spec.datatype}, {stated.kind} are floats")
    if manifest.image is not None and not (len(shape) == 2 and _fits(spec.shape[0], 1)):
        raise ModelLoadError(f"an image's {stated.kind} are a row of classes, not of shape {shape}")
    labels = manifest.labels
    if labels is not None and not (spec.shape and _fits(spec.shape[-1], len(labels))):
        raise ModelLoadError(f"{len(labels)} labels for an output of shape {shape}")


def _named(name: str, specs: tuple[TensorSpec, ...], role: str) -> TensorSpec:
    for spec in specs:
        if spec.name == name:
            return spec
    raise ModelLoadError(f"the manifest's {role} {name!r} is not in the graph")


def _fits(dim: Dim, size: int) -> bool:
    return not isinstance(dim, int) or dim == size
