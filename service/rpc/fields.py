"""A look at the bytes of a message before it is parsed: of how many parts it is.

An empty part costs two bytes on the wire and many times that in memory, so that a message
within the bound of a body could still take gigabytes and seconds to parse and to read.
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from service.errors import InvalidRequest

# A request has a handful: names, a few for each input, output and parameter, and a text each
# where texts come one by one and not as raw bytes. To count them takes ten milliseconds.
MOST_PARTS = 20_000

# Smaller messages are parsed in a few milliseconds whatever they are.
_SMALL = 2**16

_VARINT, _EIGHT_BYTES, _LENGTH_DELIMITED, _FOUR_BYTES = 0, 1, 2, 5

# Which fields of ModelInferRequest are messages of parts: inputs, their contents, outputs. Numbers
# are packed into one part, as every writer of proto3 does it.
_Inside = Mapping[int, "_Inside"]
_NOTHING: _Inside = MappingProxyType({})
_INFER: _Inside = MappingProxyType({5: MappingProxyType({5: _NOTHING}), 6: _NOTHING})


class _Part(NamedTuple):
    number: int
    start: int
    end: int
    is_bytes: bool


def check_parts(body: bytes) -> None:
    """Return if a message has as many parts as a request may have; damage is not told here.

    Raises:
        InvalidRequest: it has more.
    """
    if len(body) <= _SMALL:
        return
    left = MOST_PARTS
    for _ in _parts(body, 0, len(body), _INFER):
        left -= 1
        if left < 0:
            raise InvalidRequest(f"the message has more than {MOST_PARTS} parts")


def _parts(body: bytes, start: int, end: int, inside: _Inside) -> Iterator[_Part]:
    """Yield the parts of a message, and those of the messages in it that are looked into."""
    position = start
    while position < end:
        part = _part(body, position, end)
        yield part
        if part.is_bytes and part.number in inside:
            yield from _parts(body, part.start, part.end, inside[part.number])
        position = part.end


def _part(body: bytes, position: int, end: int) -> _Part:
    """Return the part that begins there; it ends with the message where there can be none."""
    tag, start = _varint(body, position, end)
    kind, number = tag & 7, tag >> 3
    if kind == _LENGTH_DELIMITED:
        length, start = _varint(body, start, end)
        return _Part(number, start, min(end, start + length), is_bytes=True)
    if kind == _VARINT:
        behind = _varint(body, start, end)[1]
    else:
        behind = start + {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind, len(body))
    return _Part(number, start, min(end, behind), is_bytes=False)


def _varint(body: bytes, position: int, end: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, lowest first, and where it ends."""
    value = 0
    for i, byte in enumerate(body[position : min(end, position + 10)]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, position + i + 1
    return 0, end
