"""Holds what a manifest says against what its graph says."""

from service.artifact.manifest import ImageInput, Manifest, Output, TensorInput, VerifiableManifest
from service.artifact.signature import Dim, Signature, TensorSpec
from service.artifact.vector import Vector
from service.errors import ModelLoadError


def check_manifest(manifest: Manifest, signature: Signature) -> None:
    """Compare what the manifest says with what the graph says.

    Raises:
        ModelLoadError: they contradict each other; the message names the field.
    """
    if manifest.input is not None:
        _check_input(manifest.input, signature)
    if manifest.output is not None:
        _check_output(manifest, manifest.output, signature)
    if isinstance(manifest, VerifiableManifest):
        _check_vector(manifest.vector, signature)


def _check_vector(stated: Vector, signature: Signature) -> None:
    for role, ours, theirs in (
        ("inputs", stated.inputs, signature.inputs),
        ("outputs", stated.outputs, signature.outputs),
    ):
        if sorted(one.name for one in ours) != sorted(one.name for one in theirs):
            raise ModelLoadError(f"the vector's {role} are not the {role} of the graph")
    for one in stated.inputs:
        spec = signature.inputs_by_name[one.name]
        if len(spec.shape) != len(one.shape) or not all(map(_fits, spec.shape, one.shape)):
            raise ModelLoadError(
                f"the vector's {one.name!r} is {list(one.shape)},"
                f" the graph's input is {list(spec.wire_shape)}"
            )
        if spec.datatype == "BYTES":
            raise ModelLoadError(f"the vector's {one.name!r} are texts, which no seed makes")


def _check_input(stated: ImageInput | TensorInput, signature: Signature) -> None:
    spec = _named(stated.name, signature.inputs, "input")
    if isinstance(stated, TensorInput):
        return
    if len(signature.inputs) != 1:
        raise ModelLoadError("the manifest states one image, the graph has several inputs")
    if spec.datatype != stated.datatype:
        raise ModelLoadError(
            f"the graph's input is {spec.datatype}, an image in {stated.layout} is"
            f" {stated.datatype}"
        )
    sizes = (1, *stated.shape)
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
