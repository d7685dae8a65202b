"""Which tensors of a model lie in files beside it, read without onnx.

The runtime opens what these names say; `files` looks at them first.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from service.artifact.wire_format import damaged, spans

# Of onnx.proto: which fields of a message hold what may hold a tensor, wherever one can stand.
_INSIDE: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "model": {7: "graph", 20: "training", 25: "function"},
        "training": {1: "graph", 2: "graph"},
        "function": {7: "node", 11: "attribute"},
        "graph": {1: "node", 5: "tensor", 15: "sparse"},
        "node": {5: "attribute"},
        "attribute": {
            5: "tensor",
            6: "graph",
            10: "tensor",
            11: "graph",
            22: "sparse",
            23: "sparse",
        },
        "sparse": {1: "tensor", 2: "tensor"},
    }
)
_TENSOR_NAME, _TENSOR_EXTERNAL = 8, 13
_KEY, _VALUE = 1, 2


class External(NamedTuple):
    """A tensor in another file.

    Args:
        tensor: its name.
        location: what the model calls the file.
    """

    tensor: str
    location: str


def external_tensors(data: bytes) -> Iterator[External]:
    """Yield every tensor of a model that names a file, in subgraphs and functions too.

    Args:
        data: a whole model; a map of the file does as well, and is not copied.

    Raises:
        ModelLoadError: it is no message of protobuf.
    """
    left = [("model", 0, len(data))]  # no recursion: nesting is the file's to choose
    while left:
        kind, start, end = left.pop()
        if kind == "tensor":
            yield from _external(data, start, end)
            continue
        inside = _INSIDE[kind]
        left += [
            (inside[number], first, last)
            for number, first, last in spans(data, start, end)
            if number in inside
        ]


def _external(data: bytes, start: int, end: int) -> Iterator[External]:
    name, locations = "", []
    for number, first, last in spans(data, start, end):
        if number == _TENSOR_NAME:
            name = _text(data[first:last])
        elif number == _TENSOR_EXTERNAL:
            texts = {field: data[a:b] for field, a, b in spans(data, first, last)}
            if texts.get(_KEY) == b"location":
                locations.append(_text(texts.get(_VALUE, b"")))
    yield from (External(name, location) for location in locations)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise damaged() from None
