"""What the server says, as frozen dataclasses; each has a function that reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foldserve_client.errors import InvalidAnswer
from foldserve_client.reading import Fields


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class of an image."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class Classification:
    """The likeliest classes of an image, likeliest first, and which version says so."""

    model: str
    version: str
    predictions: tuple[Prediction, ...]

    @property
    def best(self) -> Prediction:
        """The likeliest class."""
        return self.predictions[0]


@dataclass(frozen=True, slots=True)
class Server:
    """What the server is."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """What a graph says about an input or output; -1 stands for a size that is not fixed."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model; the last five are None unless it is ready, and in lists of models.

    Args:
        version: its number.
        state: "ready", "loading", "failed" or "unavailable".
        reason: why it, or a newer file of it, is not served.
        provider: the execution provider that runs it.
        batched: whether requests may share a run.
        inputs: its signature.
        outputs: its signature.
        manifest: what its file says of itself; None for a plain ONNX file.
    """

    version: str
    state: str
    reason: str | None
    provider: str | None = None
    batched: bool | None = None
    inputs: tuple[Tensor, ...] | None = None
    outputs: tuple[Tensor, ...] | None = None
    manifest: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """One model; ``version`` is the one that answers when none is named."""

    name: str
    version: str
    state: str
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something was done, and for how many nanoseconds in all."""

    count: int
    ns: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one version has done since the server's start, in Triton's words.

    Args:
        name: of the model.
        version: of the model.
        inference_count: rows of the answered requests.
        execution_count: runs.
        success: requests that were answered.
        fail: requests that were not.
        queue: the wait of the answered ones.
        compute_input: their decoding and batching.
        compute_infer: their runs.
        compute_output: what came after.
    """

    name: str
    version: str
    inference_count: int
    execution_count: int
    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


def classification(document: Fields) -> Classification:
    """Read the answer to a picture."""
    predictions = tuple(
        Prediction(each.text("label"), each.whole("index"), each.number("probability"))
        for each in document.objects("predictions")
    )
    if not predictions:
        raise InvalidAnswer("predictions is empty")
    return Classification(document.text("model"), document.text("version"), predictions)


def server(document: Fields) -> Server:
    """Read what the server is."""
    return Server(document.text("name"), document.text("version"), document.texts("extensions"))


def model(document: Fields) -> Model:
    """Read a model, with or without the details of its versions."""
    versions = tuple(_version(each) for each in document.objects("versions"))
    name, version = document.text("name"), document.text("version")
    return Model(name, version, document.text("state"), versions)


def statistics(document: Fields) -> Statistics:
    """Read what a version has done."""
    stages = document.object("inference_stats")
    names = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
    return Statistics(
        document.text("name"),
        document.text("version"),
        document.whole("inference_count"),
        document.whole("execution_count"),
        *(_duration(stages.object(name)) for name in names),
    )


def _version(document: Fields) -> Version:
    return Version(
        version=document.text("version"),
        state=document.text("state"),
        reason=document.text_or_none("reason"),
        provider=document.text_or_none("provider"),
        batched=document.truth_or_none("batched"),
        inputs=_tensors(document.objects_or_none("inputs")),
        outputs=_tensors(document.objects_or_none("outputs")),
        manifest=document.mapping_or_none("manifest"),
    )


def _tensors(found: list[Fields] | None) -> tuple[Tensor, ...] | None:
    if found is None:
        return None
    return tuple(
        Tensor(each.text("name"), each.text("datatype"), each.sizes("shape", least=-1))
        for each in found
    )


def _duration(document: Fields) -> Duration:
    return Duration(document.whole("count"), document.whole("ns"))
