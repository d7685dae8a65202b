"""The inputs of an inference request: JSON tensors, binary tensors, images."""

from collections.abc import Sequence
from typing import Any

from service.artifact.manifest import ImageInput
from service.artifact.signature import Array, Signature, Tensors
from service.errors import InvalidRequest, InvalidTensor
from service.wire.binary import decode_binary, split_body
from service.wire.encoded_images import decode_images
from service.wire.request_fields import NamedObjects, named_objects, read_parameters
from service.wire.tensors import decode_tensor


def named_inputs(document: dict[str, Any], signature: Signature) -> NamedObjects:
    """Return every input of the signature, none missing, in the order of the request.

    Raises:
        InvalidRequest: ``inputs`` is no list of them, or there are others, or too few.
    """
    named = named_objects("inputs", document.get("inputs"), signature.inputs_by_name)
    if len(named) != len(signature.inputs):
        missing = [spec.name for spec in signature.inputs if spec.name not in named]
        raise InvalidRequest(f"inputs lacks {', '.join(map(repr, missing))}")
    return named


def binary_contents(
    named: NamedObjects, body: bytes | memoryview, offset: int
) -> list[memoryview | None]:
    """Return the bytes of each binary input, without a copy, and None for the others.

    Args:
        named: the inputs.
        body: the whole body.
        offset: where its JSON ends.

    Raises:
        InvalidTensor: an input says that it has other bytes than there are.
        InvalidRequest: there are bytes that belong to no input.
    """
    return split_body([_binary_size(*each) for each in named.values()], body, offset)


def decode_inputs(
    named: NamedObjects,
    contents: Sequence[memoryview | None],
    signature: Signature,
    image: ImageInput | None,
) -> tuple[Tensors, Sequence[bytes] | None]:
    """Return the arrays of the inputs, or the images in place of the one that there is.

    Args:
        named: every input of the signature.
        contents: the bytes of each, or None where it has ``data``.
        signature: the model's.
        image: the model's image input, if it takes images.

    Raises:
        InvalidTensor: an input contradicts itself or the signature.
    """
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


def _binary_size(field: str, tensor: dict[str, Any]) -> tuple[str, object]:
    """Return where the number of an input's bytes is stated, and what is stated there."""
    size = read_parameters(field, tensor).get("binary_data_size")
    if size is not None and "data" in tensor:
        raise InvalidTensor(f"{field} has both data and parameters.binary_data_size")
    return field, size
