"""The port of gRPC: found free before anything is loaded, and kept for every worker.

Each worker listens on a socket of its own, since gRPC takes none that is open already; the
kernel shares the connections out.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from service.environment import variable
from service.errors import StartError
from service.machine.addresses import Address, bind, resolve

GRPC_PORT = "grpc_port"
CONTROL_GRPC_PORT = "control_grpc_port"


@contextmanager
def reserved_port(host: str, port: int, *, shared: bool, setting: str = GRPC_PORT) -> Iterator[int]:
    """Give a port that nobody listens on, for the time of the block.

    Args:
        host: to listen on.
        port: 0 takes a free one.
        shared: whether several processes will listen on it.
        setting: that names it.

    Raises:
        StartError: the address cannot be had.
    """
    address = resolve(host, port)
    with _bind(address, host, setting, shared=False) as probe:  # refused if anybody listens there
        address = address._replace(name=probe.getsockname())
    if not shared:
        yield address.name[1]
        return
    with _bind(address, host, setting, shared=True):
        yield address.name[1]


def target(host: str, port: int) -> str:
    """Return an address in gRPC's form.

    Raises:
        StartError: the host cannot be resolved.
    """
    family, (number, *_) = resolve(host, port)
    return f"[{number}]:{port}" if family is socket.AF_INET6 else f"{number}:{port}"


def refusal(host: str, port: int, setting: str, reason: str) -> StartError:
    """Return the error of an address that cannot be had."""
    return StartError(
        f"cannot listen for gRPC on {host} port {port}: {reason};"
        f" set {variable(setting)} to a port that is free"
    )


def _bind(address: Address, host: str, setting: str, *, shared: bool) -> socket.socket:
    try:
        return bind(address, shared=shared)
    except OSError as error:
        port = address.name[1]
        raise refusal(host, port, setting, error.strerror or "it cannot be had") from None
