"""The documents of the HTTP interface, for its OpenAPI page.

The hot endpoints neither parse nor build these: they describe, and a test holds real
requests and answers against them.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from service.artifact.manifest import ManifestV1, ManifestV2, ManifestV3, ManifestV4

State = Literal["loading", "ready", "failed", "unavailable"]
Parameters = dict[str, str | float | bool]


class Document(BaseModel):
    """A JSON object of the interface."""

    # Our words are "model_name" and "model_version"; pydantic keeps "model_" for itself.
    model_config = ConfigDict(protected_namespaces=(), extra="forbid")


class Problem(Document):
    """Problem details (RFC 9457)."""

    type: str = Field(examples=["urn:foldserve:problem:model_not_found"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["model_not_found"])
    request_id: str


class InferenceError(Document):
    """An error of the protocols under ``/v1`` and ``/v2``."""

    error: str


class PredictedClass(Document):
    """One class of an image."""

    label: str
    index: int
    probability: float


class PredictAnswer(Document):
    """The likeliest classes of an image, likeliest first."""

    model: str
    version: str
    predictions: list[PredictedClass]


class Tensor(Document):
    """What a graph says about an input or output; -1 stands for a size that is not fixed."""

    name: str
    datatype: str = Field(examples=["FP32"])
    shape: list[int]


class VersionSummary(Document):
    """The state of one version."""

    version: str
    state: State
    reason: str | None = Field(description="Why it, or a newer file of it, is not served.")


class ModelSummary(Document):
    """The state of one model."""

    name: str
    version: str = Field(description="The version that answers when none is named.")
    state: State
    versions: list[VersionSummary]


class ModelList(Document):
    """Every model of the repository."""

    models: list[ModelSummary]


class VersionDetail(VersionSummary):
    """One version with what its file says; the last five are null unless it is ready."""

    provider: str | None = Field(description="The execution provider that runs it.")
    batched: bool | None = Field(description="Whether requests may share a run.")
    inputs: list[Tensor] | None
    outputs: list[Tensor] | None
    manifest: (
        Annotated[
            ManifestV1 | ManifestV2 | ManifestV3 | ManifestV4, Field(discriminator="format_version")
        ]
        | None
    )


class ModelDetail(Document):
    """One model with all its versions."""

    name: str
    version: str = Field(description="The version that answers when none is named.")
    state: State
    versions: list[VersionDetail]


class ServerMetadata(Document):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class Live(Document):
    """The process answers."""

    live: bool


class Ready(Document):
    """New requests are welcome."""

    live: bool
    ready: bool


class ModelReady(Document):
    """A model can answer."""

    name: str
    ready: bool


class ModelMetadata(Document):
    """The signature of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class OpenDocument(BaseModel):
    """A JSON object of a request: members that the protocol does not name are ignored."""

    model_config = ConfigDict(extra="allow")


class RequestInput(OpenDocument):
    """One input tensor."""

    name: str
    shape: list[NonNegativeInt]
    datatype: str = Field(examples=["FP32"])
    data: list[Any] = Field(description="Values in row-major order, flat or nested.")
    parameters: Parameters | None = None


class RequestedOutput(OpenDocument):
    """One output that is asked for."""

    name: str
    parameters: Parameters | None = None


class InferenceRequest(OpenDocument):
    """A request of the Open Inference Protocol."""

    # Without it the page makes up one that no server takes.
    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "inputs": [
                        {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2.5, 3]}
                    ]
                }
            ]
        },
    )

    id: str | None = None
    parameters: Parameters | None = None
    inputs: list[RequestInput]
    outputs: list[RequestedOutput] | None = Field(
        None, description="Which outputs, in which order; all by default."
    )


class ResponseOutput(Tensor):
    """One output tensor."""

    data: list[Any] = Field(description="Values in row-major order, flat.")


class InferenceResponse(Document):
    """An answer of the Open Inference Protocol."""

    model_name: str
    model_version: str
    id: str | None = Field(None, description="The request's, if it had one.")
    outputs: list[ResponseOutput]
