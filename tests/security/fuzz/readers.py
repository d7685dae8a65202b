"""What reads the bytes of strangers, each as a function that says whether they are taken.

None of them speaks to anyone, so thousands are tried in a second. What they raise other than
errors of the service, or find in two ways to be two things, is a find.
"""

import functools
import gzip
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has no types

from service.api.multipart import file_part, is_multipart
from service.artifact.agreement import check_manifest
from service.artifact.manifest import ImageInput, read_manifest
from service.artifact.signature import Signature, TensorSpec
from service.errors import ModelLoadError, ServiceError
from service.images.preprocessing import image_tensor, small_image_tensor
from service.repository.override import policy_of
from service.repository.policy import read_policy
from service.rpc.fields import MOST_PARTS, check_parts
from service.rpc.messages import protocol
from service.rpc.reading import read_infer
from service.wire.encodings import compress, decompress
from service.wire.inference_request import (
    InferenceRequest,
    read_header_length,
    read_length,
    read_request,
)
from service.wire.request_reader import RequestReader
from service.wire.v1_request import read_v1_request

# An error is a line of a log and of somebody's screen.
_LONGEST_ERROR = 1000
_ROOM = 2**16

IMAGE = ImageInput(
    name="x",
    kind="image",
    layout="NCHW",
    color="L",
    channels=1,
    height=8,
    width=8,
    value_range=(0, 255),
    resize_filter="bilinear",
    crop_fraction=None,
)
IMAGES = {
    "grey": IMAGE,
    "cropped": IMAGE.model_copy(update={"crop_fraction": 0.875, "color": "RGB", "channels": 3}),
    "bytes": IMAGE.model_copy(update={"layout": "NHWC", "resize_filter": "nearest"}),
    "wide": IMAGE.model_copy(update={"width": 32, "crop_fraction": 1.0}),
}
_MOST_PIXELS = 10**6


def _signature(datatype: str, *shape: int | str | None) -> Signature:
    rows = shape[:1]
    return Signature((TensorSpec("x", datatype, shape),), (TensorSpec("y", "FP32", (*rows, 3)),))


SIGNATURES: Mapping[str, Signature] = {
    "m": _signature("FP32", "n", 3),
    "two": Signature(
        (TensorSpec("a", "FP32", ("n", 2)), TensorSpec("b", "FP32", ("n", 2))),
        (TensorSpec("sum", "FP32", ("n", 2)), TensorSpec("difference", "FP32", ("n", 2))),
    ),
    "texts": _signature("BYTES", "n", 3),
    "truths": _signature("BOOL", "n", 3),
    "whole": _signature("INT64", "n", 3),
    "small": _signature("UINT8", "n", "m"),
    "half": _signature("FP16", "n", None),
    "alone": _signature("FP64"),
    "image": _signature("FP32", "n", 1, 8, 8),
}


def infer(data: bytes) -> bool:
    """``name length`` of a model and of the JSON, a line's end, and a body of ``/infer``.

    A model's reader keeps what it read before: what it makes of a body then is what it would be
    alone.
    """
    name, length, body = _head(data)
    signature = SIGNATURES.get(name, SIGNATURES["m"])
    image = IMAGE if name == "image" else None
    reader = RequestReader(signature, image)
    for before in _BEFORE.get(name, ()):
        _outcome(functools.partial(reader.read, before, None))

    def alone() -> Any:
        header_length = read_header_length(length, len(body))
        assert 0 <= read_length(body, header_length) <= len(body)
        return _plain(read_request(body, signature, header_length=header_length, image=image))

    def kept() -> Any:
        return _plain(reader.read(body, read_header_length(length, len(body))))

    first = _outcome(alone)
    assert _outcome(kept) == first, "the first time"
    assert _outcome(kept) == first, "the second time"
    return first[0] is None


def _tensor(data: str, datatype: str = "FP32") -> bytes:
    return b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"%b","data":%b}]}' % (
        datatype.encode(),
        data.encode(),
    )


_BEFORE: Mapping[str, tuple[bytes, ...]] = {
    "m": (_tensor("[1,2,3]"), _tensor("[1,2,3]")[:-1] + b',"parameters":{}}'),
    "whole": (_tensor("[1,2,3]", "INT64"),),
    "texts": (_tensor('["a","b","c"]', "BYTES"),),
    "truths": (_tensor("[true,false,1]", "BOOL"),),
}


def v1(data: bytes) -> bool:
    """The name of a model, a line's end, and a body of ``:predict``."""
    name, _, body = _head(data)
    signature = SIGNATURES.get(name, SIGNATURES["m"])
    image = IMAGE if name == "image" else None
    return _outcome(lambda: read_v1_request(body, signature, image))[0] is None


def rpc(data: bytes) -> bool:
    """A ``ModelInferRequest``."""
    request = protocol().messages.ModelInferRequest
    try:
        message = request.FromString(data)
    except DecodeError:
        _outcome(lambda: check_parts(data))
        return False
    name = message.model_name
    signature = SIGNATURES.get(name, SIGNATURES["m"])
    image = IMAGE if name == "image" else None

    def read() -> Any:
        check_parts(data)
        _check_counted(message, data)
        return _plain(read_infer(message, signature, image))

    return _outcome(read)[0] is None


def _check_counted(message: Any, data: bytes) -> None:
    """What costs more memory than its bytes is counted before it is parsed."""
    tensors = [*message.inputs, *message.outputs]
    texts = sum(len(each.contents.bytes_contents) for each in message.inputs)
    named = sum(len(each.parameters) for each in (message, *tensors))
    if len(data) > 2**16:
        assert len(tensors) + texts + named + len(message.raw_input_contents) <= MOST_PARTS


def multipart(data: bytes) -> bool:
    """A content type, a line's end, and a body."""
    stated, _, body = data.partition(b"\n")
    content_type = stated.decode("latin-1")
    if not is_multipart(content_type):
        return False

    def read() -> bytes:
        found = file_part(body, content_type)
        assert found in body
        return found

    return _outcome(read)[0] is None


def encodings(data: bytes) -> bool:
    """A value of ``Content-Encoding``, a line's end, and a body."""
    stated, _, body = data.partition(b"\n")
    encoding = stated.decode("latin-1")

    def read() -> bytes:
        plain = decompress(body, encoding, _ROOM)
        assert len(plain) <= _ROOM
        if "gzip" in encoding.lower():
            assert plain == gzip.decompress(body)
        elif "deflate" in encoding.lower():
            assert plain == zlib.decompress(body)
        return plain

    _, found = _outcome(read)
    packed, name = compress(body * 40, encoding)
    assert (packed if name is None else decompress(packed, name, len(body) * 40)) == body * 40
    return isinstance(found, bytes)


def images(data: bytes) -> bool:
    """The name of a model's image, a line's end, and a file."""
    stated, _, file = data.partition(b"\n")
    spec = IMAGES.get(stated.decode("latin-1"), IMAGE)

    def read(*, scaled: bool) -> Any:
        tensor = image_tensor(file, spec, _MOST_PIXELS, scaled=scaled)
        assert tensor.shape == spec.shape, tensor.shape
        assert tensor.flags.c_contiguous
        return tensor.tobytes()

    def small() -> Any:
        tensor = small_image_tensor(file, spec, _MOST_PIXELS)
        return None if tensor is None else tensor.tobytes()

    whole, reduced = _outcome(lambda: read(scaled=False)), _outcome(lambda: read(scaled=True))
    assert reduced[0] == whole[0] or whole[0] is None, (whole, reduced)
    at_once = _outcome(small)
    assert at_once in (whole, (None, None)), (whole, at_once)
    return whole[0] is None


def manifests(data: bytes) -> bool:
    """A manifest."""
    text = data.decode("utf-8", "replace")
    shape = ("n", 1, 8, 8)
    signature = Signature(
        (TensorSpec("input", "FP32", shape),), (TensorSpec("logits", "FP32", ("n", 3)),)
    )

    def read() -> None:
        found = read_manifest(text)
        check_manifest(found, signature)
        if found.image is not None:
            assert (found.image.channels, found.image.height, found.image.width) == shape[1:]

    return _outcome(read)[0] is None


def policies(data: bytes) -> bool:
    """The configuration that comes with a load."""
    text = data.decode("utf-8", "replace")
    served = {"name": "m", "max_batch_size": 32, "version_policy": {"all": {}}}

    def read() -> None:
        found = policy_of(text, served)
        assert found is None or read_policy(str(found)) == found, "on the way to other workers"

    return _outcome(read)[0] is None


def _head(data: bytes) -> tuple[str, bytes | None, bytes]:
    """Return a name, a header's value and the body behind them."""
    head, _, body = data.partition(b"\n")
    name, _, length = head.partition(b" ")
    return name.decode("latin-1"), length or None, body


def _outcome(read: Callable[[], Any]) -> tuple[type[Exception] | None, Any]:
    """Return what is read, or the error that a client is told, which can be told."""
    try:
        return None, read()
    except (ServiceError, ModelLoadError) as error:
        text = str(error)
        assert text.encode()  # it can be sent
        assert len(text) < _LONGEST_ERROR, text[:100]
        return type(error), text


def _plain(request: InferenceRequest) -> Any:
    """Return what can be compared, NaN too, once it is what it should be."""
    for name, array in request.inputs.items():
        assert isinstance(array, np.ndarray), name
    tensors = {
        name: (array.shape, array.dtype.str, _bytes(array))
        for name, array in request.inputs.items()
    }
    timeout = request.timeout_s
    assert timeout is None or timeout > 0
    images = None if request.images is None else [bytes(each) for each in request.images]
    return request.id, images, list(request.outputs), timeout, tensors


def _bytes(array: Any) -> Any:
    return array.tolist() if array.dtype == object else array.tobytes()
