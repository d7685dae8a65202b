"""The port of gRPC: found free before anything is loaded, and kept for every worker.

Each worker listens on a socket of its own, since gRPC takes none that is open already; the
kernel shares the connections out.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import StartError


@contextmanager
def reserved_port(host: str, port: int, *, shared: bool) -> Iterator[int]:
    """Give a port that nobody listens on, for the time of the block.

    Args:
        host: to listen on.
        port: 0 takes a free one.
        shared: whether several processes will listen on it.

    Raises:
        StartError: the address cannot be had.
    """
    family, address = _resolve(host, port)
    with _bound(family, address, shared=False) as probe:  # refused if anybody listens there
        address = probe.getsockname()
    if not shared:
        yield address[1]
        return
    with _bound(family, address, shared=True):
        yield address[1]


def target(host: str, port: int) -> str:
    """Return an address in gRPC's form.

    Raises:
        StartError: the host cannot be resolved.
    """
    family, (number, *_) = _resolve(host, port)
    return f"[{number}]:{port}" if family is socket.AF_INET6 else f"{number}:{port}"


def refusal(host: str, port: int, reason: str) -> StartError:
    """Return the error of an address that cannot be had."""
    return StartError(
        f"cannot listen for gRPC on {host} port {port}: {reason};"
        " set FOLDSERVE_GRPC_PORT to a port that is free"
    )


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:  # the latter of a name that no resolver would take
        reason = getattr(error, "strerror", None) or "it is no host name"
        raise StartError(f"FOLDSERVE_HOST={host}: {reason}") from None
    return family, (str(address[0]), port)


def _bound(
    family: socket.AddressFamily, address: tuple[str, int], *, shared: bool
) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise refusal(*address[:2], error.strerror or "it cannot be had") from None
    return bound
