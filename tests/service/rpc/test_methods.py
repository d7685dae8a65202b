"""What the server and its models say of themselves."""

from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode  # type: ignore[import-untyped]  # it has no types
from grpc.aio import AioRpcError  # type: ignore[import-untyped]  # it has no types

from service.repository.metadata import EXTENSIONS
from tests.service import zoo
from tests.service.apps import service_of
from tests.service.rpc.clients import Client, failure, serving

pytestmark = pytest.mark.anyio


async def test_a_server_is_live_and_ready(rpc: Client) -> None:
    assert (await rpc.ask("ServerLive")).live
    assert (await rpc.ask("ServerReady")).ready


async def test_a_draining_server_is_live_and_not_ready(rpc: Client) -> None:
    service_of(rpc.app).drain()
    assert (await rpc.ask("ServerLive")).live
    assert not (await rpc.ask("ServerReady")).ready


async def test_a_server_says_what_it_is(rpc: Client) -> None:
    answer = await rpc.ask("ServerMetadata")
    assert (answer.name, bool(answer.version)) == ("foldserve", True)
    assert tuple(answer.extensions) == tuple(EXTENSIONS)


async def test_a_model_is_ready(rpc: Client) -> None:
    assert (await rpc.ask("ModelReady", name="doubler")).ready
    assert (await rpc.ask("ModelReady", name="doubler", version="1")).ready


async def test_a_model_that_failed_is_not_ready(models: Path) -> None:
    broken = models / "broken" / "1" / "model.onnx"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no model")
    async with serving(models) as rpc:
        assert not (await rpc.ask("ModelReady", name="broken")).ready
        with pytest.raises(AioRpcError) as caught:
            await rpc.ask("ModelMetadata", name="broken")
    assert failure(caught)[0] is StatusCode.UNAVAILABLE


async def test_the_signature_of_a_model_is_shown(models: Path) -> None:
    zoo.put(models, "pair", 3, zoo.two_in_two_out())
    async with serving(models) as rpc:
        answer = await rpc.ask("ModelMetadata", name="pair")
        assert (answer.name, list(answer.versions)) == ("pair", ["3"])
        assert answer.platform == "onnx_onnxv1"
        assert described(answer.inputs) == [("a", "FP32", [-1, 2]), ("b", "FP32", [-1, 2])]
        assert described(answer.outputs) == [
            ("sum", "FP32", [-1, 2]),
            ("difference", "FP32", [-1, 2]),
        ]


def described(tensors: Any) -> list[tuple[str, str, list[int]]]:
    return [(each.name, each.datatype, list(each.shape)) for each in tensors]


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata"])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "unknown"}, "there is no model of this name"),
        ({"name": "doubler", "version": "7"}, "model doubler has no such version; it has 1, 12"),
        ({}, "there is no model of this name"),
    ],
)
async def test_a_model_that_is_not_there_is_not_found(
    rpc: Client, method: str, fields: dict[str, str], message: str
) -> None:
    with pytest.raises(AioRpcError) as caught:
        await rpc.ask(method, **fields)
    code, details = failure(caught)
    assert code is StatusCode.NOT_FOUND
    assert details.startswith(message)


async def test_a_method_that_is_not_there_is_unimplemented(rpc: Client) -> None:
    call = rpc.channel.unary_unary("/inference.GRPCInferenceService/TraceSetting")
    with pytest.raises(AioRpcError) as caught:
        await call(b"")
    assert failure(caught)[0] is StatusCode.UNIMPLEMENTED


async def test_a_message_of_another_form_is_refused(rpc: Client) -> None:
    call = rpc.channel.unary_unary("/inference.GRPCInferenceService/ModelMetadata")
    with pytest.raises(AioRpcError) as caught:
        await call(b"\xff\xff")
    assert failure(caught) == (
        StatusCode.INVALID_ARGUMENT,
        "the message is not one of this method",
    )
