"""A look at the bytes of a message before it is parsed: of how many parts it is.

An empty part costs two bytes on the wire and many times that in memory, so that a message
within the bound of a body could still take a gigabyte and a second to parse.
https://protobuf.dev/programming-guides/encoding/
"""

from service.errors import InvalidRequest

# A request has a handful: names, and a few for each input, output and parameter.
MOST_PARTS = 10_000

# Smaller messages are parsed in a few milliseconds whatever they are.
_SMALL = 2**16

_VARINT, _EIGHT_BYTES, _LENGTH_DELIMITED, _FOUR_BYTES = 0, 1, 2, 5


def check_parts(body: bytes) -> None:
    """Return if a message has as many parts as a request may have; damage is not told here.

    Raises:
        InvalidRequest: it has more.
    """
    if len(body) <= _SMALL:
        return
    position = 0
    for _ in range(MOST_PARTS):
        if position >= len(body):
            return
        position = _behind_field(body, position)
    if position < len(body):
        raise InvalidRequest(f"the message has more than {MOST_PARTS} parts")


def _behind_field(body: bytes, position: int) -> int:
    """Return where the next field begins; the end of the body where there can be none."""
    tag, position = _varint(body, position)
    kind = tag & 7
    if kind == _VARINT:
        return _varint(body, position)[1]
    if kind == _LENGTH_DELIMITED:
        length, position = _varint(body, position)
        return position + length
    return position + {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(kind, len(body))


def _varint(body: bytes, position: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, lowest first, and where it ends."""
    value = 0
    for i, byte in enumerate(body[position : position + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, position + i + 1
    return 0, len(body)
