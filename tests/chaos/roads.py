"""One number to a model and back, on every road there is: JSON, bytes, v1 and gRPC."""

import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no types
import numpy as np
import orjson
from grpc import aio

from service.rpc.messages import SERVICE, protocol
from tests.chaos.load import HOST, Client, Found
from tests.chaos.workers import metrics, until
from tests.service.rpc.clients import arrays, request
from tests.service.servers import Server

MODEL = "counter"  # a ``zoo.counter``
LATE = "the request was not answered in time"
ENDED = "the model took too long on this input, and was ended"
ROADS = ("json", "binary", "v1", "grpc")
WITH_TIMEOUT = ("json", "binary", "grpc")  # the first protocol has no such parameter


def post(path: str, body: bytes, *headers: str) -> bytes:
    """Return a whole request."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def as_json(x: float, timeout_s: float | None = None) -> bytes:
    """Return a request of one row, all of it JSON."""
    return post(f"/v2/models/{MODEL}/infer", _document(timeout_s, data=[x]))


def as_bytes(x: float, timeout_s: float | None = None) -> bytes:
    """Return one whose number stands behind the JSON."""
    document = _document(timeout_s, parameters={"binary_data_size": 4})
    length = f"Inference-Header-Content-Length: {len(document)}"
    return post(f"/v2/models/{MODEL}/infer", document + np.float32(x).tobytes(), length)


def as_v1(x: float, timeout_s: float | None = None) -> bytes:
    """Return one of the first protocol."""
    assert timeout_s is None
    return post(f"/v1/models/{MODEL}:predict", orjson.dumps({"instances": [[x]]}))


def _document(timeout_s: float | None, **tensor: Any) -> bytes:
    parameters = {} if timeout_s is None else {"timeout": round(timeout_s * 1e6)}
    described = {"name": "x", "shape": [1, 1], "datatype": "FP32", **tensor}
    return orjson.dumps({"inputs": [described], "parameters": parameters})


FORMS: dict[str, Callable[..., bytes]] = {"json": as_json, "binary": as_bytes, "v1": as_v1}


def send(port: int, request: bytes) -> Callable[[], object]:
    """Send a whole request that fits into the kernel; return what ends its connection."""
    connection = socket.create_connection((HOST, port))
    connection.sendall(request)
    return connection.close


class Asker:
    """Asks one server of one worker, on every road.

    Args:
        running: serves a ``zoo.counter``.
        channel: to its gRPC.
    """

    def __init__(self, running: Server, channel: aio.Channel) -> None:
        self.running = running
        self._channel = channel

    async def ask(self, road: str, x: float, timeout_s: float | None = None) -> str:
        """Return the number that came back, or the words of a 504."""
        if road == "grpc":
            return await self._called(x, timeout_s)
        with closing(Client(self.running.port, Found())) as client:
            return _told(await client.ask(FORMS[road](x, timeout_s)))

    def call(self, x: float, timeout_s: float | None = None, **options: Any) -> aio.UnaryUnaryCall:
        """Begin a call of gRPC.

        Args:
            x: the number.
            timeout_s: the protocol's.
            options: gRPC's own, such as its deadline.
        """
        messages = protocol().messages
        named = {} if timeout_s is None else {"timeout": {"int64_param": round(timeout_s * 1e6)}}
        return self._channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=messages.ModelInferRequest.SerializeToString,
            response_deserializer=messages.ModelInferResponse.FromString,
        )(request(MODEL, {"x": np.array([[x]], np.float32)}, parameters=named), **options)

    def begin(self, road: str) -> Callable[[], object]:
        """Ask, and return what makes the client go away without an answer."""
        if road == "grpc":
            call = self.call(1.0)
            return call.cancel  # type: ignore[no-any-return]  # it has no types
        return send(self.running.port, FORMS[road](1.0))

    async def waiting(self, rows: int) -> None:
        """Return once so many rows wait."""

        async def are_waiting() -> bool:
            return await self._metric("waiting_rows") == rows

        await until(are_waiting)

    async def ran(self) -> tuple[float, float]:
        """Return how many runs there were, and of how many rows in all."""
        return await self._metric("batch_rows_count"), await self._metric("batch_rows_sum")

    async def _metric(self, name: str) -> float:
        return (await metrics(self.running))[f'foldserve_{name}{{model="{MODEL}",version="1"}}']

    async def _called(self, x: float, timeout_s: float | None) -> str:
        try:
            answer = await self.call(x, timeout_s)
        except aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            return str(error.details())
        return str(arrays(answer)["y"][0][0])


def _told(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 504 "):
        return str(orjson.loads(body)["error"])
    assert head.startswith(b"HTTP/1.1 200 "), answer
    told = orjson.loads(body)
    found = told["predictions"] if "predictions" in told else [told["outputs"][0]["data"]]
    return str(found[0][0])
