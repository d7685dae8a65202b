"""HTTP/2 by hand (RFC 9113), for what no client library sends."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW_UPDATE = 0, 1, 4, 6, 8
_END_STREAM, _END_HEADERS = 1, 4


def connection(path: bytes, message: bytes) -> bytes:
    """Return the bytes of a connection with one call of gRPC.

    Args:
        path: ``/package.Service/Method``, or what stands in its place.
        message: of the call.
    """
    headers = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path,
        b":authority": b"x",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
        b"grpc-timeout": b"9S",
        b"x-request-id": b"abc",
    }
    fields = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())
    return b"".join(
        (
            _PREFACE,
            _frame(_SETTINGS, 0, 0, b""),
            _frame(_HEADERS, _END_HEADERS, 1, fields),
            _frame(_DATA, _END_STREAM, 1, b"\0" + len(message).to_bytes(4, "big") + message),
            _frame(_PING, 0, 0, bytes(8)),
            _frame(_WINDOW_UPDATE, 0, 0, b"\0\0\xff\xff"),
        )
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def _text(value: bytes) -> bytes:
    """A text of HPACK (RFC 7541, 5.2), none of which is longer than 126 bytes here."""
    return bytes([len(value)]) + value
