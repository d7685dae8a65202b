"""tritonclient.http, blocking and asyncio, looks after a server's models."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as asynchronous
from google.protobuf import json_format  # type: ignore[import-untyped]  # it has no types
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from tests.clients.documents import Document, arguments
from tests.clients.scripts import conversation

MODEL = "doubler"


def main() -> None:
    address, _cases = arguments()
    with triton.InferenceServerClient(address) as client:
        said = blocking(client)
    conversation.say({"blocking": said, "asyncio": asyncio.run(beside(address))})


def blocking(client: Any) -> Document:
    before = count(client.get_inference_statistics(MODEL))
    client.infer(MODEL, given())
    return {
        "extensions": client.get_server_metadata()["extensions"],
        "config": client.get_model_config(MODEL),
        "understood": understood(client.get_model_config(MODEL)),
        "version": client.get_model_config(MODEL, "1")["name"],
        "counted": count(client.get_inference_statistics(MODEL, "1")) - before,
        "all": len(client.get_inference_statistics()["model_stats"]),
        "index": client.get_model_repository_index(),
        "unloaded": done(lambda: client.unload_model(MODEL)),
        "gone": client.is_model_ready(MODEL),
        "index of the unloaded": client.get_model_repository_index(),
        "refused": done(lambda: client.infer(MODEL, given())),
        "loaded": done(lambda: client.load_model(MODEL)),
        "back": client.is_model_ready(MODEL),
        "other configuration": done(
            lambda: client.load_model(MODEL, config='{"max_batch_size": 1}')
        ),
        "unknown": done(lambda: client.load_model("nothing")),
        "shared memory": done(client.get_system_shared_memory_status),
    }


async def beside(address: str) -> Document:
    async with asynchronous.InferenceServerClient(address) as client:
        before = count(await client.get_inference_statistics(MODEL))
        await client.infer(MODEL, given())
        counted = count(await client.get_inference_statistics(MODEL)) - before
        await client.unload_model(MODEL)
        gone = await client.is_model_ready(MODEL)
        await client.load_model(MODEL)
        return {
            "config": await client.get_model_config(MODEL),
            "counted": counted,
            "index": await client.get_model_repository_index(),
            "gone": gone,
            "back": await client.is_model_ready(MODEL),
        }


def given() -> list[Any]:
    return conversation.inputs(triton, {"x": np.array([[1, 2, 3], [4, 5, 6]], np.float32)})


def understood(config: Document) -> list[str]:
    """What is left of a configuration as Triton's own message: anything unknown would raise."""
    message = json_format.ParseDict(config, model_config_pb2.ModelConfig())
    return sorted(field.name for field, _value in message.ListFields())


def count(statistics: Document) -> int:
    found: int = statistics["model_stats"][0]["inference_count"]
    return found


def done(ask: Callable[[], Any]) -> Document:
    said = conversation.attempt(ask, InferenceServerException)
    return said if "error" in said else {"done": True}


if __name__ == "__main__":
    main()
