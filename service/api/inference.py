"""What the inference endpoints share: a body is read, run and written, and nobody is held up."""

import time
from collections.abc import Callable
from typing import TypeVar

from service.api.exchange import Exchange
from service.artifact.signature import Tensors
from service.inference import answering as inference
from service.inference.predictor import Predictor
from service.wire.inference_request import InferenceRequest
from service.wire.v1_request import V1Request

Read = TypeVar("Read")
Request = TypeVar("Request", InferenceRequest, V1Request)

# Bytes that are read within about a millisecond, the price of waking a thread and of being woken.
SMALL_BODY = 16 * 2**10

# Numbers that are written in about that time.
SMALL_ANSWER = 16 * 2**10


async def run(
    exchange: Exchange, predictor: Predictor, size: int, read: Callable[[], Request]
) -> tuple[Request, Tensors]:
    """Return what a body asks for, and every output of the model for it.

    Args:
        exchange: of the request.
        predictor: of the model.
        size: bytes of the body that are read one by one.
        read: reads the body; blocks.

    Raises:
        ServiceError: as the stages say, the first of which is that there is room.
        ClientDisconnect: the client went away while its request waited.
    """
    predictor.check_room()
    began = exchange.timing.decode_began = time.monotonic()
    deadline = predictor.deadline()
    if size <= SMALL_BODY:
        asked = read()
    else:
        asked = await exchange.while_connected(_in_thread(exchange, read, deadline))
    exchange.timing.decode_s = time.monotonic() - began
    if asked.timeout_s is not None:
        deadline = min(deadline, predictor.deadline(asked.timeout_s))
    work = inference.infer(predictor, asked, exchange.timing, deadline)
    if predictor.runs_at_once and asked.images is None:
        return asked, await work
    return asked, await exchange.while_connected(work)


async def written(
    exchange: Exchange, predictor: Predictor, outputs: Tensors, write: Callable[[], Read]
) -> Read:
    """Return what ``write`` makes of the outputs; a thread does it where there are many numbers."""
    if sum(array.size for array in outputs.values()) <= SMALL_ANSWER:
        return write()
    return await _in_thread(exchange, write, predictor.deadline())


async def _in_thread(exchange: Exchange, work: Callable[[], Read], deadline: float) -> Read:
    return await exchange.service.decoder.decode(work, deadline)
