"""SIGTERM while clients call over gRPC."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
from grpc import StatusCode, aio  # type: ignore[import-untyped]  # it has no types

from tests.chaos.workers import begin_upload, infer, until
from tests.service.servers import server

pytestmark = pytest.mark.anyio

ROW = np.ones((1, 3), np.float32)


async def call(channel: aio.Channel, answered: list[int], ends: list[aio.AioRpcError]) -> None:
    """Call until a call is not answered."""
    try:
        while True:
            await infer(channel, "m", ROW)
            answered.append(1)
    except aio.AioRpcError as error:
        ends.append(error)


@pytest.mark.parametrize("workers", [1, 2])
async def test_no_call_that_was_begun_is_lost_at_the_end(
    root: Path, workers: int, figure: Callable[..., None]
) -> None:
    """Clients call until they are refused; an upload over HTTP that stays would last longer.

    gRPC refuses what comes before the client knows that the server ends: nothing of it was run.
    """
    answered: list[int] = []
    ends: list[aio.AioRpcError] = []

    async def have_answers() -> bool:
        return len(answered) >= 300

    choices = {"ACCESS_LOG": "all", "LOG_FORMAT": "json", "LOG_LEVEL": "info"}
    with server(root, WORKERS=workers, GRPC_PORT=0, **choices) as running:
        address = running.grpc
        log = asyncio.create_task(asyncio.to_thread(running.process.communicate))
        writer = await begin_upload(running.port)
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as clients:
            for _ in range(8):
                options = [("grpc.use_local_subchannel_pool", 1)]  # a connection for each client
                channel = aio.insecure_channel(address, options=options)
                clients.create_task(call(await stack.enter_async_context(channel), answered, ends))
            await until(have_answers)
            running.process.terminate()
        writer.transport.abort()
        _, lines = await log
    assert running.process.returncode == 0
    assert {end.code() for end in ends} <= {StatusCode.UNAVAILABLE, StatusCode.CANCELLED}
    told = [json.loads(line) for line in lines.splitlines()]
    calls = [line["status"] for line in told if line.get("path") == "ModelInfer"]
    assert calls == [200] * len(answered)
    figure("Drain: gRPC", workers=workers, requests=len(answered), lost=0)
