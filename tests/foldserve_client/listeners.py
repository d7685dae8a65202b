"""Servers on real sockets that do with each connection what a script says."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# Enough for a loaded machine; a test that needs it has failed.
PATIENCE_S = 30

MODELS = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"models":[]}'
"""The whole answer to ``models()``."""

Script = Callable[[socket.socket], None]


@contextmanager
def listener(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that runs one script for each connection; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for script in scripts:
                connection, _ = listening.accept()
                connection.settimeout(PATIENCE_S)
                with connection, suppress(ssl.SSLError, ConnectionError):
                    if tls is None:
                        script(connection)
                    else:
                        with tls.wrap_socket(connection, server_side=True) as wrapped:
                            script(wrapped)

        thread = threading.Thread(target=serve)
        thread.start()
        scheme = "http" if tls is None else "https"
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def read_request(connection: socket.socket) -> bytes:
    """Return the head of a request that has no body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(2**16)
    return received


def answers(connection: socket.socket) -> None:
    """Answer ``models()``."""
    read_request(connection)
    connection.sendall(MODELS)
