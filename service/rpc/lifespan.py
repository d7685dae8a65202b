"""gRPC beside HTTP, where a setting asks for it; without one nothing of it is loaded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from service.access.guard import Guard
from service.errors import StartError
from service.lifecycle import Service
from service.rpc.address import CONTROL_GRPC_PORT, GRPC_PORT
from service.tls.rotation import Rotation

if TYPE_CHECKING:
    from service.rpc.server import RpcServer

log = structlog.get_logger()


@asynccontextmanager
async def grpc_beside(
    service: Service, guard: Guard | None = None, tls: Rotation | None = None
) -> AsyncIterator[None]:
    """Serve gRPC for the time of the block on each port that a setting names for it.

    It ends together with HTTP, not after it: who is slow over HTTP takes no time from the calls.

    Args:
        service: started; closed after the block.
        guard: knows the API keys, where they are needed.
        tls: has the certificate, where one is asked for.

    Raises:
        StartError: the address cannot be had.
    """
    wanted = [name for name in (GRPC_PORT, CONTROL_GRPC_PORT) if _port(service, name) is not None]
    if not wanted:
        yield
        return
    from service.rpc.server import RpcServer  # noqa: PLC0415 -- tens of megabytes

    servers = [RpcServer(service, guard, name, tls) for name in wanted]
    stopping = asyncio.create_task(_stop(servers, service))
    try:
        for name, server in zip(wanted, servers, strict=True):
            log.info("grpc ready", port=await server.start(), setting=name)
        yield
    except StartError as error:
        service.start_error = error
        raise
    finally:
        service.ending.set()
        await stopping


async def _stop(servers: "Sequence[RpcServer]", service: Service) -> None:
    """End the servers once nobody is let in any more.

    From then on gRPC refuses what a client sends that does not know it yet, and calls that have
    come and are not begun; it has no way to let these in and tell the client to send no more.
    """
    await service.ending.wait()
    await asyncio.gather(*(each.stop(service.grace_left()) for each in servers))


def _port(service: Service, setting: str) -> int | None:
    port: int | None = getattr(service.settings, setting)
    return port
