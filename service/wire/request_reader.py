"""Reads the requests of one model, of which most differ in nothing but their values.

A client writes the same JSON around the values of each of its requests, as long as they have no
id. What was read of it once is kept, and of the next request only the values are looked at.
"""

from typing import NamedTuple

import orjson

from service.artifact.manifest import ImageInput
from service.artifact.signature import Array, Signature, TensorSpec
from service.wire.binary import array_at
from service.wire.inference_request import InferenceRequest, read_request
from service.wire.tensors import decode_values

# A model has as many kinds of requests: forms of the answer times sizes of the batch.
_MOST_KINDS = 64

# Names, a shape and parameters have a few hundred bytes; what is longer is not kept.
_LONGEST_FRAME = 1024

# Of more values than these bytes hold, the JSON around them is a small part.
_MOST_JSON = 2**14

_DATA = b'"data":'
_FIELD = "inputs[0].data"

_Frame = tuple[bytes, bytes | int]


class _Known(NamedTuple):
    """All of a request but the values of its one input."""

    request: InferenceRequest
    shape: tuple[int, ...]


class RequestReader:
    """Reads requests; threads may share it.

    Args:
        signature: the model's.
        image: the model's image input, if it takes images.
    """

    def __init__(self, signature: Signature, image: ImageInput | None) -> None:
        self._signature = signature
        # Of several inputs each has its values elsewhere: their requests are read as they come.
        self._input = signature.inputs[0] if len(signature.inputs) == 1 else None
        self._image = image
        self._known: dict[_Frame, _Known] = {}

    def read(self, body: bytes, header_length: int | None) -> InferenceRequest:
        """Return what a body asks for.

        Raises:
            InvalidJSON, InvalidRequest, InvalidTensor: as ``read_request``.
        """
        spec = self._input
        if spec is not None and header_length is None and len(body) <= _MOST_JSON:
            return self._read_json(body, spec)
        if spec is not None and header_length and header_length <= _LONGEST_FRAME:
            return self._read_binary(body, header_length, spec)
        return self._read(body, header_length)

    def _read(self, body: bytes, header_length: int | None) -> InferenceRequest:
        return read_request(body, self._signature, header_length=header_length, image=self._image)

    def _read_binary(self, body: bytes, header_length: int, spec: TensorSpec) -> InferenceRequest:
        """Read JSON with bytes behind it, which are as many as the same JSON had before."""
        frame = (body[:header_length], len(body) - header_length)
        known = self._known.get(frame)
        if known is not None:
            return _filled(known, spec, array_at(body, header_length, known.shape, spec))
        request = self._read(body, header_length)
        # Truths and texts have to be looked at; behind the JSON of values in it are no bytes.
        if _comes_again(request) and spec.datatype not in {"BOOL", "BYTES"}:
            array = request.inputs[spec.name]
            if array.nbytes == frame[1]:
                self._keep(frame, request, array)
        return request

    def _read_json(self, body: bytes, spec: TensorSpec) -> InferenceRequest:
        """Read JSON of which all is known but one value, which alone is parsed.

        In the place of a JSON value there may be any other, and the rest still says the same.
        """
        start = body.find(_DATA) + len(_DATA)
        end = body.find(b"}", start)  # numbers have none, and the values are mostly the last
        if end < 0 or start + len(body) - end > _LONGEST_FRAME:
            return self._read(body, None)
        frame = (body[:start], body[end:])
        known = self._known.get(frame)
        if known is None:
            request = self._read(body, None)
            if _comes_again(request) and _surrounds_the_data(frame, body[start:end]):
                self._keep(frame, request, request.inputs[spec.name])
            return request
        try:
            data = orjson.loads(body[start:end])
        except orjson.JSONDecodeError:
            return self._read(body, None)
        return _filled(known, spec, decode_values(_FIELD, data, known.shape, spec))

    def _keep(self, frame: _Frame, request: InferenceRequest, array: Array) -> None:
        if len(self._known) >= _MOST_KINDS:
            self._known.clear()  # those in use come again
        self._known[frame] = _Known(request._replace(inputs={}), array.shape)


def _comes_again(request: InferenceRequest) -> bool:
    """Whether there may be more like it: an id is another one each time, as images are."""
    return not request.id and request.images is None


def _filled(known: _Known, spec: TensorSpec, array: Array) -> InferenceRequest:
    request_id, _, images, outputs, timeout_s = known.request
    return InferenceRequest(request_id, {spec.name: array}, images, outputs, timeout_s)


def _surrounds_the_data(frame: tuple[bytes, bytes], data: bytes) -> bool:
    """Whether a frame is the JSON of a request with one input, and its data is what it lacks."""
    try:
        orjson.loads(data)
        document = orjson.loads(frame[0] + b"null" + frame[1])
    except orjson.JSONDecodeError:
        return False
    match document:
        case {"inputs": [{"data": None}]}:
            return True
    return False
