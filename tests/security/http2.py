"""Frames of HTTP/2, by hand, for what no client of gRPC would send (RFC 9113, RFC 7541)."""

import struct

from service.rpc.messages import SERVICE

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _CONTINUATION = 0, 1, 3, 4, 6, 9
_END_HEADERS = 4


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
    return head + struct.pack(">I", stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that is neither indexed nor packed."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0)
"""With which every client begins."""

_CALL = b"".join(
    _literal(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", f"/{SERVICE}/ModelInfer".encode()),
        (b":authority", b"x"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    )
)


def call(number: int) -> bytes:
    """The head of a call whose message does not come yet; calls are numbered from 0."""
    return _frame(_HEADERS, _END_HEADERS, 2 * number + 1, _CALL)


def part_of_message(number: int, data: bytes) -> bytes:
    """A part of a call's message."""
    return _frame(_DATA, 0, 2 * number + 1, data)


def cancel(number: int) -> bytes:
    """The end of a call that its client does not want any more."""
    return _frame(_RST_STREAM, 0, 2 * number + 1, struct.pack(">I", 8))


def ping() -> bytes:
    """A question whether the server lives."""
    return _frame(_PING, 0, 0, bytes(8))


def endless_head(pieces: int) -> bytes:
    """The head of a call that goes on and on."""
    more = _literal(b"x" * 100, b"y" * 100) * 50
    return _frame(_HEADERS, 0, 1, _CALL) + _frame(_CONTINUATION, 0, 1, more) * pieces
