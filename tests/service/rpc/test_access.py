"""With keys, every method of gRPC but those of health needs one."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc  # type: ignore[import-untyped]  # it has no types
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from service.rpc.messages import protocol
from tests.service.apps import service_of
from tests.service.keys import put
from tests.service.rpc.clients import Client, serving

pytestmark = pytest.mark.anyio

FREE = {"ServerLive", "ServerReady"}
SCOPES = {
    "ModelStatistics": "metrics",
    "RepositoryModelLoad": "control",
    "RepositoryModelUnload": "control",
}
METHODS = [
    name.removesuffix("Request") for name in vars(protocol().messages) if name.endswith("Request")
]


@pytest.fixture
async def guarded(models: Path, tmp_path: Path) -> AsyncIterator[Client]:
    async with serving(models, api_keys=put(tmp_path)) as client:
        yield client


async def outcome(client: Client, method: str, *metadata: tuple[str, str]) -> grpc.StatusCode:
    try:
        await client.call(method, metadata=metadata)
    except aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("method", METHODS)
async def test_each_method_asks_for_its_scope(guarded: Client, method: str) -> None:
    stranger = await outcome(guarded, method)
    assert (stranger is grpc.StatusCode.UNAUTHENTICATED) == (method not in FREE)
    for scope in ("predict", "metrics", "control"):
        found = await outcome(guarded, method, ("authorization", f"Bearer fs_{scope}"))
        known = await outcome(guarded, method, ("x-api-key", f"fs_{scope}"))
        assert found is known
        assert found is not grpc.StatusCode.UNAUTHENTICATED
        if method not in FREE and scope != SCOPES.get(method, "predict"):
            assert found is grpc.StatusCode.PERMISSION_DENIED


async def test_a_refused_call_is_counted_and_has_its_id(guarded: Client) -> None:
    for method in ("ModelInfer", "ModelInfer", "RepositoryModelLoad"):
        with pytest.raises(aio.AioRpcError) as caught:
            await guarded.call(method, metadata=(("x-request-id", "mine"),))
        assert dict(caught.value.trailing_metadata())["x-request-id"] == "mine"
    unknown = guarded.channel.unary_unary("/inference.GRPCInferenceService/Chosen")
    with pytest.raises(aio.AioRpcError) as caught:
        await unknown(b"")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    told = service_of(guarded.app).metrics.exposition().decode()
    assert 'route="grpc ModelInfer",status="401"} 2.0' in told
    assert 'route="grpc RepositoryModelLoad",status="401"} 1.0' in told
    assert 'route="grpc unmatched",status="401"} 1.0' in told
    assert "Chosen" not in told


async def test_health_is_free_and_reflection_is_not(guarded: Client) -> None:
    health = health_pb2_grpc.HealthStub(guarded.channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == 1
    stub = reflection_pb2_grpc.ServerReflectionStub(guarded.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    with pytest.raises(aio.AioRpcError) as caught:
        await stub.ServerReflectionInfo(iter([asked])).read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    known = stub.ServerReflectionInfo(iter([asked]), metadata=(("x-api-key", "fs_predict"),))
    assert (await known.read()).list_services_response.service
