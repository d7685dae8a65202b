"""Compressed bodies, both ways: gzip and deflate, as HTTP names them (RFC 9110, 8.4.1).

Deflate is the zlib format, as the RFC says and Triton reads it; without zlib's frame it is
refused.
"""

import zlib
from collections.abc import Mapping

from service.errors import BodyTooLarge, InvalidEncoding, UnsupportedEncoding

_GZIP_FRAME = zlib.MAX_WBITS + 16
_ZLIB_FRAME = zlib.MAX_WBITS
_FRAMES: Mapping[str, int] = {
    "gzip": _GZIP_FRAME,
    "x-gzip": _GZIP_FRAME,  # the same, RFC 9110
    "deflate": _ZLIB_FRAME,
}

# The fastest: floats as digits shrink to 0.48 at 100 MB/s; the default level makes it 0.44 at a
# sixth of the speed.
_LEVEL = 1

# Below it half the bytes are a packet or two, no time on any network and 40 µs of a core.
_SMALLEST = 4096

# Floats as bytes shrink to 0.93 and cost twice as much as digits: on a few KiB, it shows.
_SAMPLE = 4096
_WORTH_IT = 0.8


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without its encoding; blocks for some milliseconds a megabyte.

    Args:
        body: as it came.
        encoding: the value of ``Content-Encoding``.
        limit: bytes that the result may have; no more are kept, whatever the body would give.

    Raises:
        UnsupportedEncoding: it is none of gzip, deflate and identity, or several.
        BodyTooLarge: the result is larger than ``limit``.
        InvalidEncoding: the body is not what its encoding says, it ends early or goes on.
    """
    name = encoding.strip().lower()
    if name == "identity":
        return body
    if name not in _FRAMES:
        raise UnsupportedEncoding("send the body as it is, or in one of gzip and deflate")
    stream = zlib.decompressobj(_FRAMES[name])
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error:
        raise InvalidEncoding(f"the body is not {name}, or it is damaged") from None
    if len(plain) > limit:
        raise BodyTooLarge(f"the body is larger than {limit} bytes without its {name}")
    if not stream.eof:
        raise InvalidEncoding(f"the {name} body ends early")
    if stream.unused_data:
        raise InvalidEncoding(f"the body goes on behind its {name} part")
    return plain


def compress(body: bytes, accept_encoding: str) -> tuple[bytes, str | None]:
    """Return a body in the best encoding that a client takes, and its name, or None.

    Small bodies stay as they are, and those that do not shrink: random bits, like the lower
    ones of floats. Blocks for about ten milliseconds a megabyte.

    Args:
        body: to be sent.
        accept_encoding: the value of ``Accept-Encoding``.
    """
    if len(body) < _SMALLEST:
        return body, None
    name = _preferred(accept_encoding)
    # The end of a body is where its tensors are.
    if name is None or len(_compressed(body[-_SAMPLE:], name)) > _WORTH_IT * _SAMPLE:
        return body, None
    return _compressed(body, name), name


def _compressed(body: bytes, name: str) -> bytes:
    stream = zlib.compressobj(_LEVEL, wbits=_FRAMES[name])
    return stream.compress(body) + stream.flush()


def _preferred(accept_encoding: str) -> str | None:
    """Return the encoding with the highest weight; of equal ones gzip, and any before none."""
    weights = _weights(accept_encoding)
    others = weights.get("*", 0.0)
    offers = {name: weights.get(name, others) for name in ("gzip", "deflate")}
    best = max(offers, key=lambda name: offers[name])
    return best if offers[best] > 0 and offers[best] >= weights.get("identity", 0.0) else None


def _weights(accept_encoding: str) -> dict[str, float]:
    """Return the weight of each encoding (RFC 9110, 12.4.2); one that is no number is 0."""
    weights: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        name, _, parameter = item.partition(";")
        key, _, value = parameter.partition("=")
        try:
            weight = float(value) if key.strip() == "q" else 1.0
        except ValueError:
            weight = 0.0
        weights[name.strip().removeprefix("x-")] = weight
    return weights
