"""The body of an inference response; no HTTP, no model."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import orjson

from service.artifact.signature import Array, Tensors, TensorSpec
from service.wire.binary import encode_binary
from service.wire.classification import classify
from service.wire.inference_request import InferenceRequest
from service.wire.request_outputs import WantedOutput
from service.wire.tensors import encode_values

# More than a server has models and they have outputs; the rest is written anew each time.
_KEPT = 256


class InferenceAnswer(NamedTuple):
    """A body.

    Args:
        body: JSON, and behind it the bytes of the binary outputs.
        header_length: the bytes of the JSON; None where it is all of the body.
    """

    body: bytes
    header_length: int | None


def write_response(
    name: str,
    version: str,
    request: InferenceRequest,
    outputs: Tensors,
    labels: Sequence[str] | None,
) -> InferenceAnswer:
    """Return the answer to a request.

    The JSON is put together from pieces, most of which are the same in every answer of a model.

    Args:
        name: the model's.
        version: the model's.
        request: says which outputs, in which order and form.
        outputs: every output of the model.
        labels: names of the classes, if the model has them.

    Raises:
        OutputNotFinite: a value that goes as JSON is NaN or infinite; as bytes it may be.
    """
    texts: list[bytes] = []
    parts: list[bytes | memoryview] = [b""]  # the place of the JSON, whose sizes come last
    for wanted in request.outputs:
        spec, array = answered_tensor(wanted, outputs[wanted.spec.name], labels)
        head, shape = _output_head(spec.name, spec.datatype), orjson.dumps(array.shape)
        if wanted.binary:
            data = encode_binary(spec, array)
            parts.append(data)
            texts.append(b'%b%b,"parameters":{"binary_data_size":%d}}' % (head, shape, data.nbytes))
        else:
            texts.append(b'%b%b,"data":%b}' % (head, shape, encode_values(spec, array)))
    request_id = b"" if request.id is None else b'"id":%b,' % orjson.dumps(request.id)
    text = b'%b%b"outputs":[%b]}' % (_head(name, version), request_id, b",".join(texts))
    if len(parts) == 1:
        return InferenceAnswer(text, None)
    parts[0] = text
    return InferenceAnswer(b"".join(parts), len(text))


def answered_tensor(
    wanted: WantedOutput, array: Array, labels: Sequence[str] | None
) -> tuple[TensorSpec, Array]:
    """Return an output in the form that is asked for: itself, or its highest classes as texts."""
    if not wanted.classes:
        return wanted.spec, array
    texts = classify(wanted.spec, array, wanted.classes, labels)
    return TensorSpec(wanted.spec.name, "BYTES", texts.shape), texts


@lru_cache(_KEPT)
def _head(name: str, version: str) -> bytes:
    return b'{"model_name":%b,"model_version":%b,' % (orjson.dumps(name), orjson.dumps(version))


@lru_cache(_KEPT)
def _output_head(name: str, datatype: str) -> bytes:
    return b'{"name":%b,"datatype":%b,"shape":' % (orjson.dumps(name), orjson.dumps(datatype))
