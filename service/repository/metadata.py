"""What the server and its models say of themselves, in the Open Inference Protocol's words."""

from importlib.metadata import version as installed_version
from typing import Any

from service.artifact.signature import TensorSpec
from service.repository.entries import Repository

PLATFORM = "onnx_onnxv1"

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "statistics",
)
"""Those of Triton's extensions of the protocol that clients find here."""


def server_metadata() -> dict[str, Any]:
    """Return what the server is."""
    return {
        "name": "foldserve",
        "version": installed_version("foldserve"),
        "extensions": list(EXTENSIONS),
    }


def model_metadata(repository: Repository, name: str, version: str | None) -> dict[str, Any]:
    """Return the signature of a model that can answer.

    Raises:
        ModelNotFound, VersionNotFound: there is no such thing.
        ModelNotReady: it is there and was not loaded.
    """
    entry, predictor = repository.serving(name, version)
    signature = predictor.model.signature
    ready = [each.version for each in repository.versions(name).values() if each.predictor]
    return {
        "name": entry.name,
        "versions": ready,
        "platform": PLATFORM,
        "inputs": [tensor_metadata(spec) for spec in signature.inputs],
        "outputs": [tensor_metadata(spec) for spec in signature.outputs],
    }


def tensor_metadata(spec: TensorSpec) -> dict[str, Any]:
    """Return an input or output; -1 stands for a size that is not fixed."""
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.wire_shape}
