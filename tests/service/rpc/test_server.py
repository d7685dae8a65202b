"""The gRPC server: health, reflection, its bounds, its start and its end."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from grpc import StatusCode  # type: ignore[import-untyped]  # it has no types
from grpc.aio import AioRpcError  # type: ignore[import-untyped]  # it has no types
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import (
    reflection_pb2,
    reflection_pb2_grpc,
)

from service.access.loopback import LOOPBACK
from service.app import create_app
from service.errors import StartError
from service.rpc.messages import SERVICE
from tests.service.apps import service_of, settings
from tests.service.fakes import PATIENCE_S, FakeModel
from tests.service.rpc.clients import Client, arrays, failure, request, serving
from tests.service.rpc.frames import connection
from tests.service.servers import taken_port

pytestmark = pytest.mark.anyio

X = np.array([[1, 2, 3]], np.float32)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def opens(model: FakeModel) -> Any:
    return lambda _path, _options: model


async def health(rpc: Client, service: str = "") -> Any:
    stub = health_pb2_grpc.HealthStub(rpc.channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status


async def test_health_of_everything_is_listed(rpc: Client) -> None:
    stub = health_pb2_grpc.HealthStub(rpc.channel)
    found = (await stub.List(health_pb2.HealthListRequest())).statuses
    assert {name: each.status for name, each in found.items()} == dict.fromkeys(
        ("", SERVICE), SERVING
    )


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_health_says_serving(rpc: Client, service: str) -> None:
    assert await health(rpc, service) == SERVING


async def test_health_of_another_service_is_not_found(rpc: Client) -> None:
    with pytest.raises(AioRpcError) as caught:
        await health(rpc, "other")
    assert failure(caught)[0] is StatusCode.NOT_FOUND


async def test_a_watcher_is_told_of_the_drain_at_once_and_calls_are_still_answered(
    rpc: Client,
) -> None:
    stub = health_pb2_grpc.HealthStub(rpc.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    service_of(rpc.app).drain()
    async with asyncio.timeout(PATIENCE_S):
        assert (await watch.read()).status == NOT_SERVING
    assert await health(rpc, SERVICE) == NOT_SERVING
    assert arrays(await rpc.infer("doubler", {"x": X})) == {"y": [[2, 4, 6]]}
    watch.cancel()


def asked(**question: Any) -> Iterator[Any]:
    yield reflection_pb2.ServerReflectionRequest(**question)


async def test_reflection_lists_the_services(rpc: Client) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(rpc.channel)
    answers = [each async for each in stub.ServerReflectionInfo(asked(list_services=""))]
    names = {each.name for each in answers[0].list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} < names


@pytest.mark.parametrize(
    "symbol",
    [SERVICE, "inference.ModelInferRequest", "grpc.health.v1.Health"],
)
async def test_reflection_describes_what_there_is(rpc: Client, symbol: str) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(rpc.channel)
    question = asked(file_containing_symbol=symbol)
    answers = [each async for each in stub.ServerReflectionInfo(question)]
    assert answers[0].file_descriptor_response.file_descriptor_proto


async def test_calls_in_flight_are_answered_at_the_end_and_new_ones_refused(models: Path) -> None:
    model = FakeModel(held=True)
    async with serving(models, opens(model), warm_up=False) as rpc:
        running = asyncio.ensure_future(rpc.infer("doubler", {"x": X}))
        assert await asyncio.to_thread(model.began.acquire, timeout=PATIENCE_S)
        watch = health_pb2_grpc.HealthStub(rpc.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING
        ending = asyncio.ensure_future(rpc.close())
        assert (await watch.read()).status == NOT_SERVING
        with pytest.raises(AioRpcError) as caught:
            await rpc.infer("doubler", {"x": X})
        model.go.set()
        assert arrays(await running) == {"y": [[2, 4, 6]]}
        await ending
    # It never reached us: the client knows of the end, or grpcio's server turns it away.
    assert failure(caught)[0] in {StatusCode.UNAVAILABLE, StatusCode.CANCELLED}


async def test_a_watcher_does_not_hold_up_the_end(rpc: Client) -> None:
    stub = health_pb2_grpc.HealthStub(rpc.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="other"))
    assert (await watch.read()).status == SERVING
    assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    async with asyncio.timeout(PATIENCE_S):  # less than the grace time
        await rpc.close()
    assert (await watch.read()).status == NOT_SERVING
    assert [await each.code() for each in (watch, unknown)] == [StatusCode.OK] * 2


async def test_a_tool_that_looks_at_the_server_does_not_either(rpc: Client) -> None:
    stream = reflection_pb2_grpc.ServerReflectionStub(rpc.channel).ServerReflectionInfo()
    await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    await stream.read()
    async with asyncio.timeout(PATIENCE_S):  # less than the grace time
        await rpc.close()
    assert await stream.code() is StatusCode.UNAVAILABLE


async def test_what_is_not_answered_in_the_grace_time_is_unavailable(models: Path) -> None:
    model = FakeModel(held=True)
    async with serving(models, opens(model), warm_up=False, grace_s=0.05) as rpc:
        call = asyncio.ensure_future(rpc.infer("doubler", {"x": X}))
        assert await asyncio.to_thread(model.began.acquire, timeout=PATIENCE_S)
        await rpc.close()
        with pytest.raises(AioRpcError) as caught:
            await call
    assert failure(caught)[0] is StatusCode.UNAVAILABLE


async def test_streams_at_once_are_bounded_and_take_no_place_of_a_call(models: Path) -> None:
    async with serving(models, max_batch_size=1, max_queue_size=1) as rpc:
        stub = health_pb2_grpc.HealthStub(rpc.channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(40)]
        for watch in watches:
            assert (await watch.read()).status == SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(rpc.channel)
        questions = [reflection.ServerReflectionInfo() for _ in range(10)]
        for question in questions:
            await question.write(reflection_pb2.ServerReflectionRequest(list_services=""))
            assert await question.read()
        for more in (
            stub.Watch(health_pb2.HealthCheckRequest()),
            reflection.ServerReflectionInfo(asked(list_services="")),
        ):
            with pytest.raises(AioRpcError) as caught:
                await more.read()
            assert failure(caught)[0] is StatusCode.RESOURCE_EXHAUSTED
        assert (await rpc.ask("ServerLive")).live
        assert arrays(await rpc.infer("doubler", {"x": X})) == {"y": [[2, 4, 6]]}
        for stream in (*watches, *questions):
            stream.cancel()
        async with asyncio.timeout(PATIENCE_S):
            while not await has_a_place(stub):
                await rpc.ask("ServerLive")  # lets the loop look at its sockets


async def has_a_place(stub: Any) -> bool:
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    try:
        found: bool = (await watch.read()).status == SERVING
    except AioRpcError:
        return False
    watch.cancel()
    return found


async def test_a_message_that_does_not_come_is_not_waited_for(models: Path) -> None:
    async with serving(models, body_timeout_s=0.05) as rpc:
        call = rpc.channel.stream_unary(f"/{SERVICE}/ModelInfer")()
        with pytest.raises(AioRpcError) as caught:
            await call
    assert failure(caught) == (
        StatusCode.DEADLINE_EXCEEDED,
        "the message was not there after 0.05 seconds",
    )


async def test_a_call_without_a_message_is_refused(rpc: Client) -> None:
    call = rpc.channel.stream_unary(f"/{SERVICE}/ModelInfer")()
    await call.done_writing()
    with pytest.raises(AioRpcError) as caught:
        await call
    assert failure(caught) == (StatusCode.INVALID_ARGUMENT, "the call has no message")


async def test_a_taken_port_stops_the_start(models: Path) -> None:
    with taken_port() as port:
        app = create_app(settings(models, grpc_port=port))
        with pytest.raises(StartError) as caught:
            async with app.router.lifespan_context(app):
                pass
    assert str(caught.value) == (
        f"cannot listen for gRPC on 127.0.0.1 port {port}: the address is in use, or not of"
        " this machine; set FOLDSERVE_GRPC_PORT to a port that is free"
    )
    assert service_of(app).start_error is caught.value


def test_it_serves_on_the_loop_of_the_command(models: Path) -> None:
    async def infer() -> Any:
        async with serving(models) as rpc:
            return arrays(await rpc.call("ModelInfer", request("doubler", {"x": X})))

    assert uvloop.run(infer()) == {"y": [[2, 4, 6]]}


async def test_a_message_may_be_larger_than_grpc_takes_by_itself(models: Path) -> None:
    async with serving(models) as rpc:
        x = np.ones((2**20, 3), np.float32)  # 12 MiB, where gRPC's own bound is 4
        with pytest.raises(AioRpcError) as caught:
            await rpc.infer("doubler", {"x": x})
    assert failure(caught) == (
        StatusCode.INVALID_ARGUMENT,
        "the request has 1048576 rows, a run takes 32",
    )


async def said(port: int, sent: bytes) -> bytes:
    """What comes back over a connection of its own until the server ends it."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(sent)
    writer.write_eof()
    async with asyncio.timeout(PATIENCE_S):
        found = await reader.read()
    writer.close()
    return found


async def test_a_path_that_is_no_text_ends_no_server_and_no_call(models: Path) -> None:
    """The library's own loop ends of it."""
    model = FakeModel(held=True)
    async with serving(models, opens(model), warm_up=False) as rpc:
        running = asyncio.ensure_future(rpc.infer("doubler", {"x": X}))
        assert await asyncio.to_thread(model.began.acquire, timeout=PATIENCE_S)
        port = service_of(rpc.app).settings.grpc_port
        assert port is not None
        for path in (b"/\xff/", b"\xff" * 100, b"", b"/"):
            assert await said(port, connection(path, b""))
            assert (await rpc.ask("ServerLive")).live
        model.go.set()
        assert arrays(await running) == {"y": [[2, 4, 6]]}


@pytest.mark.parametrize("path", ["/inference.GRPCInferenceService/Unknown", "/other/Method", "/x"])
async def test_a_method_that_is_not_there_is_unimplemented(rpc: Client, path: str) -> None:
    with pytest.raises(AioRpcError) as caught:
        await rpc.channel.unary_unary(path)(b"")
    assert failure(caught) == (StatusCode.UNIMPLEMENTED, "Method not found!")
