"""The answer to a request as a ``ModelInferResponse``."""

from collections.abc import Sequence

from service.artifact.signature import Tensors
from service.rpc.messages import Message
from service.wire.binary import encode_binary
from service.wire.inference_request import InferenceRequest
from service.wire.inference_response import answered_tensor


def write_infer(
    answer: Message, request: InferenceRequest, outputs: Tensors, labels: Sequence[str] | None
) -> Message:
    """Write outputs into an answer, their values as raw bytes, and return it.

    Args:
        answer: a ``ModelInferResponse`` with the model's name and version.
        request: says which outputs, in which order and form.
        outputs: every output of the model.
        labels: names of the classes, if the model has them.
    """
    answer.id = request.id or ""
    for wanted in request.outputs:
        spec, array = answered_tensor(wanted, outputs[wanted.spec.name], labels)
        answer.outputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
        # The one copy that protobuf asks for: it takes bytes, and no view.
        answer.raw_output_contents.append(bytes(encode_binary(spec, array)))
    return answer
