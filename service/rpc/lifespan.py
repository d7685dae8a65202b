"""gRPC beside HTTP, where a setting asks for it; without one nothing of it is loaded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from service.access.guard import Guard
from service.errors import StartError
from service.lifecycle import Service

log = structlog.get_logger()


@asynccontextmanager
async def grpc_beside(service: Service, guard: Guard | None = None) -> AsyncIterator[None]:
    """Serve gRPC for the time of the block if ``FOLDSERVE_GRPC_PORT`` names a port.

    Args:
        service: started; closed after the block.
        guard: knows the API keys, where they are needed.

    Raises:
        StartError: the address cannot be had.
    """
    if service.settings.grpc_port is None:
        yield
        return
    from service.rpc.server import RpcServer  # noqa: PLC0415 -- tens of megabytes

    server = RpcServer(service, guard)
    try:
        log.info("grpc ready", port=await server.start())
        yield
    except StartError as error:
        service.start_error = error
        raise
    finally:
        await server.stop(service.grace_left())
