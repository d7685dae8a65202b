"""What the body of an inference request asks for; no HTTP, no model, only its signature."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from service.artifact.manifest import ImageInput
from service.artifact.signature import Signature, Tensors
from service.errors import InvalidRequest
from service.wire.json_body import read_json
from service.wire.raw_request import decode_raw
from service.wire.request_fields import (
    NamedObjects,
    Parameters,
    json_object,
    read_parameters,
    whole_number,
)
from service.wire.request_inputs import binary_contents, decode_inputs, named_inputs
from service.wire.request_outputs import WantedOutput, every_output, wanted_outputs
from service.wire.tensors import brief

HEADER_LENGTH = "Inference-Header-Content-Length"

# An id is given back with the answer; a UUID has 36 characters.
_LONGEST_ID = 1024

# Python reads no number of thousands of digits, and no body has a length of as many as these.
_MOST_DIGITS = 18

_MICROSECOND = 1e-6

# The one datatype whose elements are read one by one; an escape may hide its name.
_TEXT_MARKS = (b"BYTES", b"\\")


class InferenceRequest(NamedTuple):
    """A request of the Open Inference Protocol that fits a signature.

    Args:
        id: the client's, to be given back.
        inputs: every input of the signature; empty where images came in place of it.
        images: the encoded images of a BYTES input of a model that takes images, else None.
        outputs: those that are asked for, in that order.
        timeout_s: how long the client waits, if it says so.
    """

    id: str | None
    inputs: Tensors
    images: Sequence[bytes] | None
    outputs: Sequence[WantedOutput]
    timeout_s: float | None


def read_request(
    body: bytes | memoryview,
    signature: Signature,
    *,
    header_length: int | None = None,
    image: ImageInput | None = None,
) -> InferenceRequest:
    """Return what a body asks for; blocks while a large one is read.

    Args:
        body: JSON, and behind it the bytes of the binary tensors, which are not copied.
        signature: the model's.
        header_length: of `read_header_length`: the bytes of the JSON; 0: all of the body is
            the one tensor or image; None: all of it is JSON.
        image: the model's image input, in whose place encoded images may come.

    Raises:
        InvalidJSON: the body is none; NaN and infinity are no JSON either.
        InvalidRequest: it does not have the protocol's form.
        InvalidTensor: an input contradicts itself or the signature.
    """
    if header_length == 0:
        inputs, images = decode_raw(body, signature, image)
        return InferenceRequest(None, inputs, images, every_output(signature, binary=True), None)
    if header_length is None:
        document, header_length = _document(body), len(body)
    else:
        document = _document(memoryview(body)[:header_length])
    named = named_inputs(document, signature)
    contents = binary_contents(named, body, header_length)
    return _request(document, signature, named, contents, image)


def read_document(
    document: dict[str, Any],
    signature: Signature,
    contents: Sequence[memoryview | None],
    image: ImageInput | None,
) -> InferenceRequest:
    """Return what a request asks for whose bytes do not stand behind its JSON.

    Args:
        document: the JSON, or what it would be.
        signature: the model's.
        contents: the bytes of each input, in the document's order, or None if it has ``data``.
        image: the model's image input, in whose place encoded images may come.

    Raises:
        InvalidRequest: it does not have the protocol's form.
        InvalidTensor: an input contradicts itself or the signature.
    """
    return _request(document, signature, named_inputs(document, signature), contents, image)


def read_header_length(value: bytes | None, body_length: int) -> int | None:
    """Return the length of a body's JSON, as ``Inference-Header-Content-Length`` says it.

    Args:
        value: of the header, or None without one.
        body_length: the bytes of the body, once decompressed.

    Raises:
        InvalidRequest: it is no number, or more than the body has.
    """
    if value is None:
        return None
    if not value.isdigit() or len(value) > _MOST_DIGITS:
        text = brief(value.decode("latin-1"))
        raise InvalidRequest(f"{HEADER_LENGTH} must be a number of bytes, not {text}")
    length = int(value)
    if length > body_length:
        raise InvalidRequest(f"{HEADER_LENGTH} is {length}, the body has {body_length} bytes")
    return length


def read_length(body: bytes, header_length: int | None) -> int:
    """Return how many bytes of a body are read one by one, at most: its text.

    What is behind the JSON is numbers, which are only looked at, unless the JSON speaks of texts
    or images.

    Args:
        body: of a request.
        header_length: of ``read_header_length``.
    """
    if header_length is None:
        return len(body)
    if any(body.find(mark, 0, header_length) >= 0 for mark in _TEXT_MARKS):
        return len(body)
    return header_length


def _document(text: bytes | memoryview) -> dict[str, Any]:
    return json_object("the request", read_json(text))


def _request(
    document: dict[str, Any],
    signature: Signature,
    named: NamedObjects,
    contents: Sequence[memoryview | None],
    image: ImageInput | None,
) -> InferenceRequest:
    parameters = read_parameters("", document)
    outputs = wanted_outputs(document, signature, parameters)
    request_id, timeout_s = _request_id(document), _timeout_s(parameters)
    inputs, images = decode_inputs(named, contents, signature, image)
    return InferenceRequest(request_id, inputs, images, outputs, timeout_s)


def _request_id(document: dict[str, Any]) -> str | None:
    request_id = document.get("id")
    if request_id is None:
        return None
    if not isinstance(request_id, str):
        raise InvalidRequest(f"id must be a string, not {brief(request_id)}")
    if len(request_id) > _LONGEST_ID:
        raise InvalidRequest(f"id must be a string of {_LONGEST_ID} characters at most")
    return request_id


def _timeout_s(parameters: Parameters) -> float | None:
    return whole_number("", parameters, "timeout") * _MICROSECOND or None
