"""The documents of Triton's extensions, for the OpenAPI page."""

from typing import Any, Literal

from pydantic import Field, RootModel

from service.api.schemas import Document, OpenDocument


class Done(Document):
    """It was done."""


class ConfigTensor(Document):
    """An input or output, without the dimension of the batch where runs are shared."""

    name: str
    data_type: str = Field(examples=["TYPE_FP32"])
    dims: list[int]
    is_shape_tensor: bool


class ConfigInput(ConfigTensor):
    """An input as Triton's clients know it."""

    format: Literal["FORMAT_NONE", "FORMAT_NCHW", "FORMAT_NHWC"]
    allow_ragged_batch: bool
    optional: bool


class ConfigOutput(ConfigTensor):
    """An output as Triton's clients know it."""

    label_filename: str


class ModelConfig(Document):
    """A model's configuration in Triton's words, as far as there is one here."""

    name: str
    platform: str
    backend: str
    version_policy: dict[str, Any]
    max_batch_size: int = Field(description="0 where requests never share a run.")
    input: list[ConfigInput]
    output: list[ConfigOutput]
    instance_group: list[dict[str, Any]]
    default_model_filename: str
    model_transaction_policy: dict[str, bool]
    response_cache: dict[str, bool]
    parameters: dict[str, Any]
    dynamic_batching: dict[str, Any] | None = None


class DurationStatistic(Document):
    """How often something was done, and for how many nanoseconds in all."""

    count: int
    ns: int


class InferenceStatistics(Document):
    """Requests by outcome, and the stages of the answered ones."""

    success: DurationStatistic
    fail: DurationStatistic
    queue: DurationStatistic
    compute_input: DurationStatistic
    compute_infer: DurationStatistic
    compute_output: DurationStatistic
    cache_hit: DurationStatistic
    cache_miss: DurationStatistic


class BatchStatistics(Document):
    """The runs of one number of rows."""

    batch_size: int
    compute_input: DurationStatistic
    compute_infer: DurationStatistic
    compute_output: DurationStatistic


class VersionStatistics(Document):
    """What one version has done."""

    name: str
    version: str
    last_inference: int = Field(description="Milliseconds since the epoch; 0 before the first.")
    inference_count: int = Field(description="Rows of the answered requests.")
    execution_count: int = Field(description="Runs.")
    inference_stats: InferenceStatistics
    batch_stats: list[BatchStatistics]


class ModelStatistics(Document):
    """What models have done since the start, in Triton's words."""

    model_stats: list[VersionStatistics]


class IndexedVersion(Document):
    """One version in the repository."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


class RepositoryIndex(RootModel[list[IndexedVersion]]):
    """Every version in the repository."""


class IndexRequest(OpenDocument):
    """Which versions to list; an empty body asks for all."""

    ready: bool = Field(False, description="Only those that can answer.")


class ControlRequest(OpenDocument):
    """A load or an unload; the body may be empty."""

    parameters: dict[str, Any] | None = Field(
        None,
        description="A load takes the version policy of `config`, an unload `unload_dependents`.",
    )
