"""How the seeds of each kind are damaged: blindly, or so that what is around stays right."""

import random
import struct
import zlib
from collections.abc import Callable

from tests.security.fuzz.documents import damaged_document
from tests.security.fuzz.messages import damaged_message
from tests.security.fuzz.mutation import damaged

Damage = Callable[[random.Random, bytes], bytes]

_PNG = b"\x89PNG\r\n\x1a\n"


def blind(chance: random.Random, data: bytes) -> bytes:
    """Damage any bytes."""
    return damaged(chance, data)


def document(chance: random.Random, data: bytes) -> bytes:
    """Damage JSON, mostly so that it is JSON still."""
    found = damaged_document(chance, data)
    return found if chance.random() < 0.7 else damaged(chance, found)


def behind_line(inner: Damage) -> Damage:
    """Return the damage of what stands behind a first line, and sometimes of all."""

    def damage(chance: random.Random, data: bytes) -> bytes:
        if chance.random() < 0.2:
            return damaged(chance, data)
        line, end, rest = data.partition(b"\n")
        return line + end + inner(chance, rest)

    return damage


def body(chance: random.Random, data: bytes) -> bytes:
    """Damage a body of ``/infer`` behind its first line; a length of JSON stays right."""
    line, end, rest = data.partition(b"\n")
    name, _, length = line.partition(b" ")
    if chance.random() < 0.2:
        return damaged(chance, data)
    if not length.isdigit() or length == b"0" or len(length) > 9:
        return line + end + document(chance, rest)
    text, contents = rest[: int(length)], rest[int(length) :]
    if chance.random() < 0.5:
        text = document(chance, text)
    else:
        contents = damaged(chance, contents)
    return b"%b %d\n%b%b" % (name, len(text), text, contents)


def call(chance: random.Random, data: bytes) -> bytes:
    """Damage a message of protobuf."""
    return damaged_message(chance, data, blind)


def picture(chance: random.Random, data: bytes) -> bytes:
    """Damage a file; the checksums of a PNG are mostly made right again."""
    found = damaged(chance, data)
    return _summed(found) if chance.random() < 0.7 else found


def _summed(data: bytes) -> bytes:
    """Return a PNG whose chunks have the checksums of what they hold."""
    if not data.startswith(_PNG):
        return data
    found, at = bytearray(data), len(_PNG)
    while at + 12 <= len(found):
        (length,) = struct.unpack_from(">I", found, at)
        end = at + 8 + length
        if end + 4 > len(found):
            break
        struct.pack_into(">I", found, end, zlib.crc32(found[at + 4 : end]))
        at = end + 4
    return bytes(found)
