"""Damaged bytes, always the same for the same seed.

The steps are those of AFL's "havoc" stage (https://aflplus.plus/docs/technical_details): a few of
them at once, at random places.
"""

import random
from collections.abc import Callable, Iterator, Sequence

# What parsers compute with, and what ends or begins something in HTTP, JSON and files.
_WORDS = (
    *(b"0", b"-1", b"1e999", b"NaN", b"18446744073709551616", b"null", b"true", b'""', b"[]"),
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\u0000", b"\\ud800", b"\\", b"/", b"..", b"%00"),
    *(b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b"\x7f", b"\xff", b"\xc0\xaf"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Content-Encoding: gzip\r\n"),
    *(b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\n"),
    *(b"Inference-Header-Content-Length: 7\r\n", b"\xff\xd8", b"\xff\xda", b"\x89PNG", b"IHDR"),
    *(number.to_bytes(4, "big") for number in (0, 1, 2**31 - 1, 2**31, 2**32 - 1)),
    *(number.to_bytes(8, "little") for number in (0, 2**63 - 1, 2**64 - 1)),
)
_MOST_STEPS = 6
_LONGEST_PIECE = 64
_MOST_TIMES = 200

_Step = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def mutations(seeds: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Yield damaged forms of the seeds, without end.

    Args:
        seeds: whole and right.
        seed: of the random numbers.
    """
    chance = random.Random(seed)  # noqa: S311 -- no secret
    while True:
        yield damaged(chance, chance.choice(seeds), seeds)


def damaged(chance: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a damaged form of some bytes.

    Args:
        chance: of the random numbers.
        data: whole and right.
        others: whose pieces may be put in.
    """
    found = bytearray(data)
    for _ in range(chance.randint(1, _MOST_STEPS)):
        chance.choice(_STEPS)(chance, found, others or (data,))
    return bytes(found)


def _place(chance: random.Random, data: bytearray) -> int:
    return chance.randint(0, len(data))


def _piece(chance: random.Random, data: bytearray) -> tuple[int, int]:
    start = _place(chance, data)
    return start, start + chance.randint(1, _LONGEST_PIECE)


def _flip(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _remove(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start, end = _piece(chance, data)
    del data[start:end]


def _cut(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    del data[_place(chance, data) :]


def _insert(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    at = _place(chance, data)
    data[at:at] = chance.choice(_WORDS)


def _replace(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    at, word = _place(chance, data), chance.choice(_WORDS)
    data[at : at + len(word)] = word


def _repeat(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start, end = _piece(chance, data)
    data[start:start] = data[start:end] * chance.randint(1, _MOST_TIMES)


def _move(chance: random.Random, data: bytearray, _seeds: Sequence[bytes]) -> None:
    start, end = _piece(chance, data)
    at = _place(chance, data)
    data[at:at] = data[start:end]


def _splice(chance: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = chance.choice(seeds)
    data[_place(chance, data) :] = other[chance.randint(0, len(other)) :]


_STEPS: Sequence[_Step] = (
    _flip,
    _set,
    _remove,
    _cut,
    _insert,
    _insert,
    _replace,
    _repeat,
    _move,
    _splice,
)
