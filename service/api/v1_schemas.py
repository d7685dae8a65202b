"""The documents of TensorFlow Serving's protocol, for the OpenAPI page."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from service.api.schemas import Document, OpenDocument


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]  # which stands for its absence, and would be no valid value


class V1Request(OpenDocument):
    """Either `instances` or `inputs`; bytes, such as a picture's, are `{"b64": "…"}`."""

    # A member that is null is there.
    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}]},
    )

    instances: list[Any] = Field(
        [],
        min_length=1,
        json_schema_extra=_without_default,
        description="Rows: values of the one input, or objects of all inputs by name.",
    )
    inputs: Any = Field(None, description="The one input, or an object of all inputs by name.")
    signature_name: str | None = Field(None, description="Makes no difference.")


class V1Answer(Document):
    """`predictions` for `instances`, `outputs` for `inputs`."""

    predictions: list[Any] | None = Field(
        None, description="Rows: values of the one output, or objects of all outputs by name."
    )
    outputs: Any = Field(None, description="The one output, or an object of all outputs by name.")


class V1Models(Document):
    """The names of the models."""

    models: list[str]


class V1Error(Document):
    """Why a version is not served."""

    error_code: Literal["OK", "UNKNOWN"]
    error_message: str


class V1VersionStatus(Document):
    """The state of one version."""

    version: str
    state: Literal["AVAILABLE", "LOADING", "END"]
    status: V1Error


class V1Status(Document):
    """The state of a model: KServe reads the first two members, TensorFlow's clients the last."""

    name: str
    ready: bool
    model_version_status: list[V1VersionStatus]
