"""TLS between a connection of TCP and a protocol above it that sees nothing of it.

Event loops have such a layer, too. But theirs tells nobody of a connection before its handshake
is over, takes for sent what TCP's transport still holds, and waits at the end for a last word of
the client. A server whose connections are bounded, in number and in the time in which answers
are taken, has to know of each connection and of each unsent byte. What is hard about TLS is
OpenSSL's matter here as there.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Any

# The text of a record (RFC 8446, 5.1); OpenSSL gives no more at once.
_RECORD_BYTES = 2**14


class TlsLayer(asyncio.Protocol, asyncio.Transport):
    """The server's side of one connection: to TCP a protocol, to the protocol above a transport.

    Args:
        context: of the handshake.
        patience_s: seconds that the handshake may take.
    """

    def __init__(self, context: ssl.SSLContext, patience_s: float) -> None:
        super().__init__()
        self._context = context
        self._patience_s = patience_s
        self._above: asyncio.Protocol | None = None  # from the end of the handshake on
        self._said_all = False
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> asyncio.Protocol:
        """Return the protocol above, now that hands are shaken."""
        raise NotImplementedError

    def refuse(self, error: ssl.SSLError) -> None:
        """Say why hands are not shaken, if there is more to say than OpenSSL did."""

    # What TCP's transport calls.

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the handshake."""
        self._transport: asyncio.Transport = transport
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.hurry(self._patience_s)

    def hurry(self, patience_s: float) -> None:
        """Give the handshake so many seconds from now on."""
        self._cancel()
        self._timer = asyncio.get_running_loop().call_later(patience_s, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take what one read of the socket brought."""
        if self._said_all:
            return
        self._incoming.write(data)
        if self._above is None:
            self._shake_hands()
        if self._above is not None:
            self._read(self._above)

    def eof_received(self) -> bool | None:
        """Take the end of what the client sends."""
        return None if self._above is None else self._above.eof_received()

    def pause_writing(self) -> None:
        """Tell that much is unsent."""
        if self._above is not None:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        """Tell that it is sent."""
        if self._above is not None:
            self._above.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the end."""
        self._cancel()
        if self._above is not None:
            self._above.connection_lost(exc)

    # What the protocol above calls.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send text; what comes behind the end is dropped."""
        if self._said_all or self._transport.is_closing():
            return
        left = memoryview(data)
        while left:
            left = left[self._tls.write(left) :]
        self._flush()

    def write_eof(self) -> None:
        """Send that no more will come, and read no more than the client's end."""
        self._say_all()
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        """Return whether TCP can end one way."""
        return self._transport.can_write_eof()

    def close(self) -> None:
        """Send what is unsent, and end."""
        if not self._transport.is_closing():
            self._say_all()
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Return whether nothing is read any more."""
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        """Read no more for now; what one read brought was told whole."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Return the bytes, encrypted, that the system has not taken yet."""
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection."""
        own = {"sslcontext": self._context, "ssl_object": self._tls}
        return own[name] if name in own else self._transport.get_extra_info(name, default)

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._flush()  # the alert
            self.refuse(error)
            self._transport.close()
        else:
            self._flush()
            self._cancel()
            self._above = self.open()
            self._above.connection_made(self)

    def _read(self, above: asyncio.Protocol) -> None:
        try:
            text, has_ended = self._decrypted()
        except ssl.SSLError:
            self._flush()  # the alert
            self._transport.abort()
            return
        if self._outgoing.pending:  # the answer to what is no text, such as new keys
            self._flush()
        if self._transport.is_closing():  # by the protocol above, when it was told to begin
            return
        if text:
            above.data_received(text)
        if has_ended and not above.eof_received():
            self.close()

    def _decrypted(self) -> tuple[bytes, bool]:
        """Return all that has come, and whether the client says that it is all."""
        pieces: list[bytes] = []
        with suppress(ssl.SSLWantReadError):  # the rest of a record is to come
            while self._incoming.pending or self._tls.pending():
                piece = self._tls.read(_RECORD_BYTES)
                if not piece:
                    return b"".join(pieces), True
                pieces.append(piece)
        return b"".join(pieces), False

    def _say_all(self) -> None:
        """Tell the client that this was all, so that it takes no other end for it."""
        if self._said_all or self._above is None:
            return
        self._said_all = True
        with suppress(ssl.SSLError):  # it would wait for the client's
            self._tls.unwrap()
        self._flush()

    def _flush(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._outgoing.read())

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
