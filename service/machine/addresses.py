"""Where a server listens: host names to addresses, addresses to sockets."""

import socket
from typing import Any, NamedTuple

from service.errors import StartError


class Address(NamedTuple):
    """A resolved address.

    Args:
        family: IPv4 or IPv6.
        name: what the family takes: number, port and, of IPv6, flow and scope.
    """

    family: socket.AddressFamily
    name: Any


def resolve(host: str, port: int) -> Address:
    """Return the first address of a host.

    Raises:
        StartError: the host cannot be resolved.
    """
    try:
        family, _, _, _, name = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:  # the latter of a name that no resolver would take
        reason = getattr(error, "strerror", None) or "it is no host name"
        raise StartError(f"FOLDSERVE_HOST={host}: {reason}") from None
    return Address(family, name)


def reachable(host: str) -> str:
    """Return where clients on this machine reach a server that listens on a host."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- not bound here


def in_url(host: str) -> str:
    """Return a host as a URL has it (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def bind(address: Address, *, shared: bool = False) -> socket.socket:
    """Return a socket that has the address and does not listen yet.

    Args:
        address: whose port may be 0 for a free one.
        shared: whether other sockets that say the same may have it, too.

    Raises:
        OSError: the address cannot be had.
    """
    bound = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address.name)
    except OSError:
        bound.close()
        raise
    return bound
