"""A client of our own for the service's gRPC half, which runs in the same event loop."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no types
import numpy as np
import pytest
from fastapi import FastAPI
from grpc import aio

from service.app import create_app
from service.rpc.address import reserved_port
from service.rpc.messages import SERVICE, protocol
from tests.service.apps import settings


class Client:
    """Calls methods by their names, with messages of keyword arguments.

    Args:
        channel: to the service.
        app: whose lifespan runs.
        close: ends the lifespan, while the channel stays open.
    """

    def __init__(self, channel: Any, app: FastAPI, close: Callable[[], Awaitable[None]]) -> None:
        self.channel = channel
        self.app = app
        self.close = close

    def call(self, method: str, message: Any = None, **options: Any) -> Any:
        """Begin a call; awaited, it gives the answer."""
        messages = protocol().messages
        request = getattr(messages, f"{method}Request")
        return self.channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=getattr(messages, f"{method}Response").FromString,
        )(request() if message is None else message, **options)

    async def ask(self, method: str, **fields: Any) -> Any:
        request = getattr(protocol().messages, f"{method}Request")
        return await self.call(method, request(**fields))

    async def infer(self, model: str, given: Mapping[str, Any], /, **fields: Any) -> Any:
        """Infer on arrays, sent as raw bytes."""
        return await self.call("ModelInfer", request(model, given, **fields))


def request(model: str, given: Mapping[str, Any], /, **fields: Any) -> Any:
    """A request with raw contents."""
    stated = [tensor(name, array) for name, array in given.items()]
    raw = [np.asarray(array).tobytes() for array in given.values()]
    return protocol().messages.ModelInferRequest(
        **{"model_name": model, "inputs": stated, "raw_input_contents": raw} | fields
    )


def tensor(name: str, array: Any, datatype: str | None = None, **fields: Any) -> dict[str, Any]:
    """An input's description; the datatype is the array's."""
    array = np.asarray(array)
    kinds = {"b": "BOOL", "u": "UINT", "i": "INT", "f": "FP"}
    bits = "" if array.dtype.kind in "bSO" else str(8 * array.dtype.itemsize)
    return {
        "name": name,
        "datatype": datatype or kinds[array.dtype.kind] + bits,
        "shape": array.shape,
        **fields,
    }


def arrays(answer: Any, dtype: Any = np.float32) -> dict[str, list[Any]]:
    """The outputs of an answer, of one type."""
    return {
        output.name: np.frombuffer(raw, dtype).reshape(output.shape).tolist()
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }


def failure(caught: "pytest.ExceptionInfo[aio.AioRpcError]") -> tuple[grpc.StatusCode, str]:
    return caught.value.code(), caught.value.details()


@asynccontextmanager
async def calling(app: FastAPI, port: int) -> AsyncIterator[Client]:
    """Run the app's lifespan and give a client of its gRPC half."""
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    channel = aio.insecure_channel(f"127.0.0.1:{port}", options=unlimited)
    async with channel, AsyncExitStack() as life:
        await life.enter_async_context(app.router.lifespan_context(app))
        yield Client(channel, app, life.aclose)


@asynccontextmanager
async def commanding(models: Path, **choices: Any) -> AsyncIterator[Client]:
    """A client of the port over which models are loaded and unloaded."""
    with reserved_port("127.0.0.1", 0, shared=False) as port:
        app = create_app(settings(models, control_grpc_port=port, **choices))
    async with calling(app, port) as client:
        yield client


@asynccontextmanager
async def serving(models: Path, open_model: Any = None, **choices: Any) -> AsyncIterator[Client]:
    with reserved_port("127.0.0.1", 0, shared=False) as port:
        choice = settings(models, grpc_port=port, **choices)
    app = create_app(choice, open_model) if open_model else create_app(choice)
    async with calling(app, port) as client:
        yield client
