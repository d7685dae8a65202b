"""``ModelInfer``: from a message to the batcher and back."""

import functools
import time

from service.inference.answering import infer
from service.lifecycle import Service
from service.rpc.calls import Call
from service.rpc.messages import Message
from service.rpc.reading import read_infer
from service.rpc.writing import write_infer

# Bytes that are read within about a millisecond, whatever they are.
_SMALL_MESSAGE = 16 * 2**10


class Inference:
    """Runs models for calls.

    Args:
        service: whose models run.
        messages: the protocol's message classes.
    """

    def __init__(self, service: Service, messages: Message) -> None:
        self._service = service
        self._messages = messages

    async def infer(self, message: Message, call: Call) -> Message:
        """Run a model on tensors or encoded images."""
        version = message.model_version or None
        entry, predictor = self._service.repository.serving(message.model_name, version)
        if call.trace is not None:
            call.trace.model = entry.name, entry.version
        manifest = predictor.model.manifest
        image, labels = (manifest.image, manifest.labels) if manifest else (None, None)
        with entry.in_use:
            predictor.check_room()
            began = call.timing.decode_began = time.monotonic()
            read = functools.partial(read_infer, message, predictor.model.signature, image)
            if _is_read_at_once(message):
                asked = read()
            else:
                asked = await self._service.decoder.decode(read, predictor.deadline())
            call.timing.decode_s = time.monotonic() - began
            deadline = predictor.deadline(_shortest(asked.timeout_s, call.seconds_left))
            outputs = await infer(predictor, asked, call.timing, deadline)
        answer = self._messages.ModelInferResponse(
            model_name=entry.name, model_version=entry.version
        )
        return write_infer(answer, asked, outputs, labels)


def _is_read_at_once(message: Message) -> bool:
    """Whether it takes a millisecond at most: raw numbers are only looked at."""
    slow = any(each.HasField("contents") or each.datatype == "BYTES" for each in message.inputs)
    return not slow or message.ByteSize() <= _SMALL_MESSAGE


def _shortest(*seconds: float | None) -> float | None:
    return min((each for each in seconds if each is not None), default=None)
