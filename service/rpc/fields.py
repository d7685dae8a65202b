"""A look at the bytes of a message before it is parsed: of how many parts it is.

An empty part costs two bytes on the wire and many times that in memory, so that a message
within the bound of a body could still take gigabytes and seconds to parse.
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator

from service.errors import InvalidRequest

# A request has a handful: names, and a few for each input, output and parameter. Numbers are one
# part however many they are; so are texts and pictures in raw_input_contents.
MOST_PARTS = 10_000

# Smaller messages are parsed in a few milliseconds whatever they are.
_SMALL = 2**16

# Fields that are messages of many parts themselves: inputs and outputs of a request, contents of
# an input. What else is nested is one part to the parser, or read over.
_HOLDERS = (5, 6)
_DEEPEST = 2

_VARINT, _EIGHT_BYTES, _LENGTH_DELIMITED, _FOUR_BYTES = 0, 1, 2, 5
# What is between the two marks of a group are parts as well.
_GROUP_BEGINS, _GROUP_ENDS = 3, 4
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4, _GROUP_BEGINS: 0, _GROUP_ENDS: 0}


def check_parts(body: bytes) -> None:
    """Return if a message has as many parts as a request may have; damage is not told here.

    Raises:
        InvalidRequest: it has more.
    """
    if len(body) <= _SMALL:
        return
    for count, _ in enumerate(_parts(body)):
        if count >= MOST_PARTS:
            raise InvalidRequest(
                f"the message has more than {MOST_PARTS} parts; raw_input_contents takes each"
                " tensor as one"
            )


def _parts(body: bytes) -> Iterator[None]:
    """Yield once for each part, those of inputs and outputs too."""
    left = [(0, len(body), 0)]
    while left:
        position, end, depth = left.pop()
        while position < end:
            yield
            tag, position = _varint(body, position)
            start, position = _content(body, tag & 7, position)
            if tag & 7 == _LENGTH_DELIMITED and tag >> 3 in _HOLDERS and depth < _DEEPEST:
                left.append((start, min(position, end), depth + 1))


def _content(body: bytes, kind: int, position: int) -> tuple[int, int]:
    """Return where the content of a field begins and ends; the end of the body if it has none."""
    if kind == _VARINT:
        return position, _varint(body, position)[1]
    if kind == _LENGTH_DELIMITED:
        length, position = _varint(body, position)
        return position, position + length
    return position, position + _FIXED.get(kind, len(body))


def _varint(body: bytes, position: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, lowest first, and where it ends."""
    value = 0
    for i, byte in enumerate(body[position : position + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, position + i + 1
    return 0, len(body)
