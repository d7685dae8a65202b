"""What the body of an inference request asks for; no HTTP, no model, only its signature."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from service.binary import decode_binary, split_body
from service.classification import can_classify
from service.encoded_images import decode_images
from service.errors import InvalidJSON, InvalidRequest, InvalidTensor
from service.manifest import ImageInput
from service.raw_request import decode_raw
from service.request_parameters import Parameters, flag, read_parameters, whole_number
from service.signature import Array, Signature, Tensors, TensorSpec
from service.tensors import brief, decode_tensor

HEADER_LENGTH = "Inference-Header-Content-Length"

# An id is given back with the answer; a UUID has 36 characters.
_LONGEST_ID = 1024

_MICROSECOND = 1e-6

_Named = dict[str, tuple[str, dict[str, Any]]]


class WantedOutput(NamedTuple):
    """One output that is asked for.

    Args:
        spec: the model's output.
        binary: whether its values come as bytes behind the JSON.
        classes: how many of the highest classes of each row come in its place; 0 for itself.
    """

    spec: TensorSpec
    binary: bool
    classes: int


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
        return InferenceRequest(None, inputs, images, _all_outputs(signature, binary=True), None)
    if header_length is None:
        document, header_length = _document(body), len(body)
    else:
        document = _document(memoryview(body)[:header_length])
    named = _named_inputs(document, signature)
    sizes = [_binary_size(field, tensor) for field, tensor in named.values()]
    contents = split_body(sizes, body, header_length)
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
    return _request(document, signature, _named_inputs(document, signature), contents, image)


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
    # Python reads no number of thousands of digits; the length of a body never has as many.
    if not value.isdigit() or len(value) > 18:
        text = brief(value.decode("latin-1"))
        raise InvalidRequest(f"{HEADER_LENGTH} must be a number of bytes, not {text}")
    length = int(value)
    if length > body_length:
        raise InvalidRequest(f"{HEADER_LENGTH} is {length}, the body has {body_length} bytes")
    return length


def _document(text: bytes | memoryview) -> dict[str, Any]:
    try:
        return _object("the request", orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise InvalidJSON(f"the body is not JSON: {error.msg} at byte {error.pos}") from None


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


def _request(
    document: dict[str, Any],
    signature: Signature,
    named: _Named,
    contents: Sequence[memoryview | None],
    image: ImageInput | None,
) -> InferenceRequest:
    parameters = read_parameters("", document)
    outputs = _wanted_outputs(document, signature, parameters)
    request_id, timeout_s = _request_id(document), _timeout_s(parameters)
    inputs, images = _inputs(named, contents, signature, image)
    return InferenceRequest(request_id, inputs, images, outputs, timeout_s)


def _named_inputs(document: dict[str, Any], signature: Signature) -> _Named:
    """Return every input of the signature, none missing, in the order of the request."""
    named = _named_objects("inputs", document.get("inputs"), signature.inputs_by_name)
    if len(named) != len(signature.inputs):
        missing = [spec.name for spec in signature.inputs if spec.name not in named]
        raise InvalidRequest(f"inputs lacks {', '.join(map(repr, missing))}")
    return named


def _binary_size(field: str, tensor: dict[str, Any]) -> tuple[str, object]:
    parameters = read_parameters(field, tensor)
    size = parameters.get("binary_data_size")
    if size is not None and "data" in tensor:
        raise InvalidTensor(f"{field} has both data and parameters.binary_data_size")
    return f"{field}.parameters.binary_data_size", size


def _inputs(
    named: _Named,
    contents: Sequence[memoryview | None],
    signature: Signature,
    image: ImageInput | None,
) -> tuple[Tensors, Sequence[bytes] | None]:
    """Return the arrays of the inputs, or the images in place of the one that there is."""
    inputs: dict[str, Array] = {}
    for (name, (field, tensor)), data in zip(named.items(), contents, strict=True):
        spec = signature.inputs_by_name[name]
        if image is not None and tensor.get("datatype") == "BYTES":
            return inputs, decode_images(field, tensor, spec, data)
        if data is None:
            inputs[name] = decode_tensor(field, tensor, spec)
        else:
            inputs[name] = decode_binary(field, tensor, spec, data)
    return {spec.name: inputs[spec.name] for spec in signature.inputs}, None


def _all_outputs(signature: Signature, *, binary: bool) -> Sequence[WantedOutput]:
    return [WantedOutput(spec, binary, 0) for spec in signature.outputs]


def _wanted_outputs(
    document: dict[str, Any], signature: Signature, parameters: Parameters
) -> Sequence[WantedOutput]:
    """Return the outputs that are asked for, in the order of the request."""
    asked = document.get("outputs")
    binary = flag("", parameters, "binary_data_output", default=False)
    if asked is None or asked == []:
        return _all_outputs(signature, binary=binary)
    named = _named_objects("outputs", asked, signature.outputs_by_name)
    return [
        _wanted_output(field, output, signature.outputs_by_name[name], binary)
        for name, (field, output) in named.items()
    ]


def _wanted_output(
    field: str, output: dict[str, Any], spec: TensorSpec, binary: bool
) -> WantedOutput:
    parameters = read_parameters(field, output)
    classes = whole_number(field, parameters, "classification")
    if classes and not can_classify(spec):
        raise InvalidRequest(
            f"{field}.parameters.classification: {spec.datatype} values have no order"
        )
    binary = flag(field, parameters, "binary_data", default=binary)
    return WantedOutput(spec, binary, classes)


def _named_objects(field: str, items: object, known: Mapping[str, TensorSpec]) -> _Named:
    """Return by name where each object of a list stands, and the object."""
    if not isinstance(items, list):
        raise InvalidRequest(f"{field} must be a list")
    found: _Named = {}
    for i, item in enumerate(items):
        where = f"{field}[{i}]"
        name = _object(where, item).get("name")
        if not isinstance(name, str) or name not in known:
            raise InvalidRequest(
                f"{where}.name {brief(name)} is none of {', '.join(map(repr, sorted(known)))}"
            )
        if name in found:
            raise InvalidRequest(f"{where}.name {name!r} is there twice")
        found[name] = (where, item)
    return found


def _object(field: str, item: object) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise InvalidRequest(f"{field} must be a JSON object")
    return item
