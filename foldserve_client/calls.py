"""Every call of the clients: which request it is, and what its answer means. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from foldserve_client import documents
from foldserve_client.errors import InvalidCall
from foldserve_client.exchange import Answer, Call, Found, Request
from foldserve_client.reading import Fields, fields

if TYPE_CHECKING:
    from numpy.typing import NDArray


def live() -> Call[bool]:
    """Return the call that asks whether the process answers."""
    return _get("/v2/health/live", lambda _: True)


def ready() -> Call[bool]:
    """Return the call that asks whether requests are welcome."""
    return _get("/v2/health/ready", lambda _: True)


def metadata() -> Call[documents.Server]:
    """Return the call that asks what the server is."""
    return _get("/v2", documents.server)


def models() -> Call[tuple[documents.Model, ...]]:
    """Return the call that lists the models."""
    return _get("/models", lambda found: tuple(map(documents.model, found.objects("models"))))


def model(name: str) -> Call[documents.Model]:
    """Return the call that shows one model with the details of its versions."""
    return _get(f"/models/{_part('model', name)}", documents.model)


def statistics(name: str | None, version: str | None) -> Call[tuple[documents.Statistics, ...]]:
    """Return the call that asks what every model, or one, or one version of it has done."""
    if name is None and version is not None:
        raise InvalidCall(f"version {version!r} of which model?")
    place = "/v2/models" if name is None else f"/v2{_place(name, version)}"
    return _get(
        f"{place}/stats",
        lambda found: tuple(map(documents.statistics, found.objects("model_stats"))),
    )


def predict(
    name: str, version: str | None, image: bytes, top_k: int | None
) -> Call[documents.Classification]:
    """Return the call that classifies a picture, whose bytes go as they are."""
    query = "" if top_k is None else "?" + urlencode({"top_k": top_k})
    headers = {"Content-Type": "application/octet-stream"}
    request = Request("POST", f"{_place(name, version)}/predict{query}", headers, image)
    return Call(lambda _: request, lambda answer: documents.classification(fields(answer.body)))


def infer(
    name: str,
    version: str | None,
    inputs: "Mapping[str, NDArray[Any]]",
    outputs: Sequence[str] | None,
) -> "Call[dict[str, NDArray[Any]]]":
    """Return the call that runs a model on arrays."""
    # Who has arrays has numpy; who has pictures needs none.
    from foldserve_client import inference  # noqa: PLC0415

    return inference.infer(f"/v2{_place(name, version)}/infer", inputs, outputs)


def _get(path: str, read: Callable[[Fields], Found]) -> Call[Found]:
    def found(answer: Answer) -> Found:
        return read(fields(answer.body))

    return Call(lambda _: Request("GET", path), found)


def _place(name: str, version: str | None) -> str:
    place = f"/models/{_part('model', name)}"
    return place if version is None else f"{place}/versions/{_part('version', version)}"


def _part(what: str, name: object) -> str:
    """Return a name as one part of a path, whatever stands in it."""
    if not isinstance(name, str) or name in ("", ".", ".."):  # these would be another path
        raise InvalidCall(f"a {what} has a name, not {name!r}")
    return quote(name, safe="")
