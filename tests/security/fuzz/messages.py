"""Damaged messages of protobuf, whose lengths are right still: one part is another, is gone, …

Blind steps break the length of whatever a part is in, and hardly one of their messages is parsed.
https://protobuf.dev/programming-guides/encoding/
"""

import random
from collections.abc import Callable
from typing import NamedTuple

_VARINT, _EIGHT, _BYTES, _GROUP_BEGINS, _GROUP_ENDS, _FOUR = range(6)
_SIZES = {_EIGHT: 8, _FOUR: 4, _GROUP_BEGINS: 0, _GROUP_ENDS: 0}
_NUMBERS = (0, 1, 2, 3, 7, 127, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
_MOST_TIMES = 200
# Bits of a tag beyond the 32 that a parser keeps; see `service.artifact.wire_format`.
_BEYOND = 1 << 32

Damage = Callable[[random.Random, bytes], bytes]


class Part(NamedTuple):
    """One field of a message.

    Args:
        tag: number and kind.
        content: the bytes behind the tag, without the length that may stand between.
    """

    tag: int
    content: bytes

    @property
    def kind(self) -> int:
        return self.tag & 7


def damaged_message(chance: random.Random, data: bytes, damage: Damage) -> bytes:
    """Return a message with one to three parts damaged.

    Args:
        chance: of the random numbers.
        data: a message, or bytes that are none.
        damage: for the bytes of a part that is no message itself.
    """
    for _ in range(chance.randint(1, 3)):
        data = _damaged(chance, data, damage)
    return data


def parts(data: bytes) -> list[Part] | None:
    """Return the parts of a message; None of bytes that are none."""
    found: list[Part] = []
    at = 0
    try:
        while at < len(data):
            tag, at = _read(data, at)
            start, at = _span(data, tag & 7, at)
            found.append(Part(tag, data[start:at]))
    except ValueError:
        return None
    return found


def message(found: list[Part]) -> bytes:
    """Return the bytes of parts."""
    return b"".join(_written(each) for each in found)


def _written(part: Part) -> bytes:
    length = _number(len(part.content)) if part.kind == _BYTES else b""
    return _number(part.tag) + length + part.content


def _damaged(chance: random.Random, data: bytes, damage: Damage) -> bytes:
    found = parts(data)
    if not found or chance.random() < 0.1:
        return damage(chance, data)
    at = chance.randrange(len(found))
    part = found[at]
    step = chance.random()
    if step < 0.6:
        found[at] = part._replace(content=_content(chance, part, damage))
    elif step < 0.68:
        del found[at]
    elif step < 0.76:
        found[at:at] = [part] * chance.randint(1, _MOST_TIMES)
    elif step < 0.82:
        found.append(found.pop(at))
    elif step < 0.88:
        found[at] = part._replace(tag=chance.randint(1, 30) << 3 | part.kind)
    elif step < 0.94:
        found[at] = part._replace(
            tag=part.tag + chance.choice([_BEYOND, 3 * _BEYOND, _BEYOND << 7])
        )
    else:
        number = chance.randint(1, 30) << 3
        found[at : at + 1] = [
            Part(number | _GROUP_BEGINS, b""),
            part,
            Part(number | _GROUP_ENDS, b""),
        ]
    return message(found)


def _content(chance: random.Random, part: Part, damage: Damage) -> bytes:
    if part.kind == _VARINT:
        return _number(chance.choice(_NUMBERS))
    if part.kind == _BYTES:
        return _damaged(chance, part.content, damage)
    return bytes(chance.randrange(256) for _ in part.content)


def _span(data: bytes, kind: int, at: int) -> tuple[int, int]:
    """Return where the content of a field begins and ends."""
    if kind == _VARINT:
        return at, _read(data, at)[1]
    size = _SIZES.get(kind)
    if kind == _BYTES:
        size, at = _read(data, at)
    if size is None or at + size > len(data):
        raise ValueError(kind)
    return at, at + size


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, at + shift + 1
    raise ValueError(at)


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
