"""One request of one client, who may go away; what comes is a word.

The word is `RIGHT`, `WRONG`, `LOST`, `HUNG`, or the status that came in place of an answer. Each
request has a connection of its own, which ends with it: to cancel the task that asks is to hang up.
"""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
from grpc import aio  # type: ignore[import-untyped]  # it has no types

from benchmarks.clients import HOST, MOST_ANSWER, read_answer
from benchmarks.serving import answers
from benchmarks.serving.calls import Caller
from benchmarks.serving.models import ServedModel
from benchmarks.serving.samples import Sample
from service.rpc.messages import SERVICE, protocol

RIGHT, WRONG, LOST, HUNG = "right", "wrong", "lost", "hung"
OK = 200
# For connections of their own: without it, channels to one server share one.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
Ask = Callable[[Sample], Awaitable[str]]


def over_http(port: int, caller: Caller, model: ServedModel, patience_s: float) -> Ask:
    """Ask in the server's own JSON.

    Args:
        port: Of the server.
        caller: What a request looks like.
        model: That is served.
        patience_s: How long an answer is waited for.
    """

    async def ask(sample: Sample) -> str:
        request = caller(model, sample).encoded(port)
        try:
            async with asyncio.timeout(patience_s):
                answer = await _exchange(port, request)
        except TimeoutError:
            return HUNG
        except (OSError, asyncio.IncompleteReadError):
            return LOST
        return judged(answer, sample)

    return ask


def judged(answer: bytes, sample: Sample) -> str:
    """The word for a whole answer of HTTP."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split()[1])
    if status != OK:
        return str(status)
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    try:
        answers.compare(answers.read("json", headers, body), sample.logits)
    except answers.WrongAnswerError:
        return WRONG
    return RIGHT


def over_grpc(port: int, model_name: str, model: ServedModel, patience_s: float) -> Ask:
    """Ask by the Open Inference Protocol's gRPC.

    Args:
        port: Of gRPC.
        model_name: Under which the server has the model.
        model: That is served.
        patience_s: How long an answer is waited for.
    """
    messages = protocol().messages

    async def ask(sample: Sample) -> str:
        numbers = sample.tensor.ravel().tolist()
        tensor: dict[str, object] = {
            "name": model.input,
            "datatype": "FP32",
            "shape": [1, *model.shape],
        }
        tensor["contents"] = {"fp32_contents": numbers}
        request = messages.ModelInferRequest(model_name=model_name, inputs=[tensor])
        async with aio.insecure_channel(f"{HOST}:{port}", OWN_CONNECTION) as channel:
            call = channel.unary_unary(
                f"/{SERVICE}/ModelInfer",
                request_serializer=messages.ModelInferRequest.SerializeToString,
                response_deserializer=messages.ModelInferResponse.FromString,
            )(request)
            try:
                async with asyncio.timeout(patience_s):
                    answer = await call
            except TimeoutError:
                return HUNG
            except aio.AioRpcError as error:
                return str(error.code().name)
        raw = b"".join(answer.raw_output_contents)
        found = np.frombuffer(raw, np.float32) if raw else answer.outputs[0].contents.fp32_contents
        try:
            answers.compare(answers.Answer(np.asarray(found, np.float32)), sample.logits)
        except answers.WrongAnswerError:
            return WRONG
        return RIGHT

    return ask


async def _exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port, limit=MOST_ANSWER)
    try:
        writer.write(request)
        return await read_answer(reader)
    finally:
        writer.transport.abort()
