"""The sockets that are listened on, bound before anything is loaded: a taken port is told at once.

On Linux each of several workers has a socket of its own on the one port (``SO_REUSEPORT``),
and the kernel spreads the connections; who made the socket keeps it, so that what waits in
the backlog of a worker that dies is not lost (handover.py). Elsewhere the option does not
spread, and the workers share one socket.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from service.access.loopback import LOOPBACK
from service.environment import variable
from service.errors import StartError
from service.machine.addresses import Address, bind, resolve
from service.rpc.address import CONTROL_GRPC_PORT, GRPC_PORT, reserved_port
from service.settings import Settings

# Connections that wait to be accepted; the kernel takes no more than net.core.somaxconn.
BACKLOG = 2048

# Whether the kernel spreads connections over the sockets of one port.
SPREADS = sys.platform == "linux"

_REMEDY = "FOLDSERVE_HOST and FOLDSERVE_PORT to an address"


@contextmanager
def listeners(host: str, port: int, count: int = 1) -> Iterator[list[socket.socket]]:
    """Bind for the time of the block.

    Args:
        host: to listen on.
        port: to listen on; for 0 the system chooses a free one.
        count: of the workers, each of which is given one of the sockets.

    Raises:
        StartError: the address cannot be had, or somebody else listens there.
    """
    address = resolve(host, port)
    with ExitStack() as stack:
        # First without sharing: with it, the port of another server could be had too.
        first = stack.enter_context(_bind(address, host, port))
        if count == 1 or not SPREADS:
            yield [first] * count
            return
        port = first.getsockname()[1]
        address = address._replace(name=(address.name[0], port, *address.name[2:]))
        first.close()
        yield [stack.enter_context(_bind(address, host, port, shared=True)) for _ in range(count)]


@contextmanager
def grpc_ports(settings: Settings, *, shared: bool = False) -> Iterator[Settings]:
    """Give settings with the ports of gRPC, found free, where they are asked for.

    Args:
        settings: the operator's.
        shared: whether several processes will listen on them.

    Raises:
        StartError: the address cannot be had.
    """
    hosts = {GRPC_PORT: settings.host, CONTROL_GRPC_PORT: LOOPBACK}
    found = {}
    with ExitStack() as stack:
        for name, host in hosts.items():
            port: int | None = getattr(settings, name)
            if port is not None:
                reserved = reserved_port(host, port, shared=shared, setting=name)
                found[name] = stack.enter_context(reserved)
        yield settings.model_copy(update=found)


@contextmanager
def control_port(settings: Settings) -> Iterator[tuple[Settings, list[socket.socket]]]:
    """Bind the control port for the time of the block, where one is asked for.

    All workers share the one socket: a command is done by each of them, whichever takes it.

    Args:
        settings: the operator's.

    Yields:
        Settings with the port that was found free, and the socket if there is one.

    Raises:
        StartError: the address cannot be had.
    """
    if settings.control_port is None:
        yield settings, []
        return
    address = resolve(LOOPBACK, settings.control_port)
    remedy = f"{variable('control_port')} to a port"
    with _bind(address, LOOPBACK, settings.control_port, remedy=remedy) as listener:
        port = listener.getsockname()[1]
        yield settings.model_copy(update={"control_port": port}), [listener]


def _bind(
    address: Address, host: str, port: int, *, shared: bool = False, remedy: str = _REMEDY
) -> socket.socket:
    try:
        return bind(address, shared=shared)
    except OSError as error:
        raise StartError(
            f"cannot listen on {host} port {port}: {error.strerror}; set {remedy} that is free"
        ) from None
