"""Triton's methods for those who look after models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode  # type: ignore[import-untyped]  # it has no types
from grpc.aio import AioRpcError  # type: ignore[import-untyped]  # it has no types

from tests.service import zoo
from tests.service.apps import client_of
from tests.service.rpc.clients import Client, commanding, failure, serving

pytestmark = pytest.mark.anyio

X = np.array([[1, 2, 3]], np.float32)


def states(answer: Any) -> dict[tuple[str, str], str]:
    return {(each.name, each.version): each.state for each in answer.models}


@pytest.mark.parametrize("name", ["brightness", "doubler"])
async def test_a_configuration_is_that_of_http(rpc: Client, name: str) -> None:
    config = (await rpc.ask("ModelConfig", name=name)).config
    async with client_of(rpc.app) as http:
        twin = (await http.get(f"/v2/models/{name}/config")).json()
    assert (config.name, config.backend) == (name, twin["backend"])
    assert config.max_batch_size == twin["max_batch_size"] == 32
    (tensor,), (stated,) = config.input, twin["input"]
    assert (tensor.name, list(tensor.dims)) == (stated["name"], stated["dims"])
    formats = tensor.DESCRIPTOR.fields_by_name["format"].enum_type.values_by_number
    assert formats[tensor.format].name == stated["format"]
    queue = config.dynamic_batching.default_queue_policy
    assert queue.max_queue_size == 1024
    assert config.version_policy.WhichOneof("policy_choice") == "all"


async def test_a_model_without_a_batch_has_none_in_its_configuration(models: Path) -> None:
    zoo.put(models, "mean", 1, zoo.mean_of_everything())
    async with serving(models) as rpc:
        config = (await rpc.ask("ModelConfig", name="mean")).config
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")


async def test_the_counters_of_a_model_move(rpc: Client) -> None:
    await rpc.infer("doubler", {"x": X})
    (found,) = (await rpc.ask("ModelStatistics", name="doubler", version="12")).model_stats
    assert (found.name, found.version, found.inference_count) == ("doubler", "12", 1)
    assert found.inference_stats.success.count == 1
    assert found.inference_stats.compute_infer.ns > 0
    assert found.last_inference > 0
    assert {batch.batch_size for batch in found.batch_stats} >= {1}


async def test_the_counters_of_every_model_are_shown(rpc: Client) -> None:
    found = (await rpc.ask("ModelStatistics")).model_stats
    assert {(each.name, each.version) for each in found} == {
        ("brightness", "1"),
        ("doubler", "1"),
        ("doubler", "12"),
    }


async def test_models_go_and_come(models: Path) -> None:
    async with commanding(models) as rpc:
        await rpc.ask("RepositoryModelUnload", model_name="brightness")
        index = states(await rpc.ask("RepositoryIndex"))
        assert index["brightness", "1"] == "UNAVAILABLE"
        assert index["doubler", "12"] == "READY"
        ready = states(await rpc.ask("RepositoryIndex", ready=True))
        assert set(ready) == {("doubler", "1"), ("doubler", "12")}
        assert not (await rpc.ask("ModelReady", name="brightness")).ready
        await rpc.ask("RepositoryModelLoad", model_name="brightness")
        assert (await rpc.ask("ModelReady", name="brightness")).ready


async def test_a_swap_is_rolled_back_by_the_configuration_of_a_load(models: Path) -> None:
    config = {"string_param": '{"version_policy": {"specific": {"versions": ["1"]}}}'}
    async with commanding(models) as rpc:
        await rpc.ask("RepositoryModelLoad", model_name="doubler", parameters={"config": config})
        told = (await rpc.ask("ModelConfig", name="doubler")).config.version_policy
        ready = states(await rpc.ask("RepositoryIndex", ready=True))
    assert list(told.specific.versions) == [1]
    assert set(ready) == {("brightness", "1"), ("doubler", "1")}


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
async def test_commands_are_taken_only_where_a_setting_says_so(rpc: Client, method: str) -> None:
    with pytest.raises(AioRpcError) as caught:
        await rpc.ask(method, model_name="doubler")
    assert failure(caught)[0] is StatusCode.PERMISSION_DENIED
    assert "FOLDSERVE_CONTROL_GRPC_PORT" in failure(caught)[1]


@pytest.mark.parametrize(
    ("method", "fields", "code", "message"),
    [
        ("ModelConfig", {"name": "nothing"}, StatusCode.NOT_FOUND, "there is no model"),
        ("ModelStatistics", {"name": "nothing"}, StatusCode.NOT_FOUND, "there is no model"),
        ("RepositoryModelLoad", {"model_name": "nothing"}, StatusCode.NOT_FOUND, "the model"),
        (
            "RepositoryModelLoad",
            {"model_name": "doubler", "parameters": {"config": {"string_param": "[]"}}},
            StatusCode.INVALID_ARGUMENT,
            "parameters.config must be a JSON object",
        ),
        (
            "RepositoryModelLoad",
            {"model_name": "doubler", "parameters": {"config": {"string_param": r'{"\ud800": 1}'}}},
            StatusCode.INVALID_ARGUMENT,
            "parameters.config is not JSON",
        ),
        (
            "RepositoryModelLoad",
            {"model_name": "doubler", "parameters": {"other": {}}},
            StatusCode.INVALID_ARGUMENT,
            "parameters.'other' is not supported",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused(
    models: Path, method: str, fields: dict[str, Any], code: StatusCode, message: str
) -> None:
    async with commanding(models) as rpc:
        with pytest.raises(AioRpcError) as caught:
            await rpc.ask(method, **fields)
    assert failure(caught)[0] is code
    assert failure(caught)[1].startswith(message)
