"""What a server says of the model under measurement: its versions, inputs and precision.

The server is asked, since it has opened the files; this process loads no runtime.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from service.artifact.signature import TensorSpec
from service.errors import StartError

_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Version:
    """One version that can answer.

    Args:
        number: the folder's.
        precision: "fp32", "fp16" or "int8"; "-" where no manifest states it.
        inputs: of the graph; a size that is not fixed is None.
        value_range: of the values that the manifest states.
        image_shape: of one image's tensor without the batch; None if it takes no images.
    """

    number: str
    precision: str
    inputs: tuple[TensorSpec, ...]
    value_range: tuple[float, float] | None = None
    image_shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Subject:
    """A model with the versions that can answer.

    Args:
        name: of the model.
        default: the version that answers who names none.
        versions: in ascending order.
        left_out: the number of each version that cannot answer, with the reason.
    """

    name: str
    default: str
    versions: tuple[Version, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def ask(port: int, name: str, wanted: str | None = None) -> Subject:
    """Ask a server of this machine what it serves under a name.

    Args:
        port: of the server.
        name: of the model.
        wanted: the one version to measure; by default all that are ready.

    Raises:
        StartError: nothing of it can be measured.
    """
    document = _get(port, f"/models/{name}")
    listed = [each for each in document["versions"] if wanted in (None, each["version"])]
    ready = [each for each in listed if each["state"] == "ready"]
    if not listed:
        raise StartError(f"model {name} has no version {wanted}")
    if not ready:
        raise StartError(f"model {name} cannot be served: {listed[-1]['reason']}")
    left_out = [(each["version"], each["reason"]) for each in listed if each not in ready]
    versions = tuple(map(_version, ready))
    return Subject(name, document["version"], versions, tuple(left_out))


def _get(port: int, path: str) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        document = json.load(answer)
    finally:
        connection.close()
    if answer.status != 200:
        raise StartError(document.get("detail", f"the server answers {answer.status}"))
    return document


def _version(document: Mapping[str, Any]) -> Version:
    manifest = document["manifest"] or {}
    stated = manifest.get("input") or {}
    return Version(
        number=document["version"],
        precision=_precision(manifest),
        inputs=tuple(map(_spec, document["inputs"])),
        value_range=stated.get("value_range"),
        image_shape=_image_shape(stated) if stated.get("kind") == "image" else None,
    )


def _spec(document: Mapping[str, Any]) -> TensorSpec:
    shape = tuple(None if size < 0 else size for size in document["shape"])
    return TensorSpec(document["name"], document["datatype"], shape)


def _precision(manifest: Mapping[str, Any]) -> str:
    """Return the manifest's word; the first format knew only one."""
    if not manifest:
        return "-"
    narrow = manifest.get("precision")
    return str(narrow["kind"]) if narrow else "fp32"


def _image_shape(stated: Mapping[str, Any]) -> tuple[int, ...]:
    sizes = (stated["height"], stated["width"])
    channels = stated["channels"]
    return (*sizes, channels) if stated["layout"] == "NHWC" else (channels, *sizes)
