"""A ``ModelInferRequest`` to the request that it stands for.

The message becomes the document that the same request is over HTTP, with the bytes of its
tensors beside it, so that both are held against the signature by the same code.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from service.artifact.manifest import ImageInput
from service.artifact.signature import DATATYPES, Signature
from service.errors import InvalidRequest, InvalidTensor
from service.rpc.messages import Message
from service.wire.binary import join_elements
from service.wire.inference_request import InferenceRequest, read_document
from service.wire.request_fields import read_parameters

# Each costs a microsecond or two; clients send a handful.
_MOST_PARAMETERS = 1000

# Which field of InferTensorContents holds the values of a datatype, and the type they have in
# it; FP16 has none.
_FIELDS: Mapping[str, tuple[str, type[np.generic]]] = MappingProxyType(
    {
        "BOOL": ("bool_contents", np.bool_),
        "INT8": ("int_contents", np.int32),
        "INT16": ("int_contents", np.int32),
        "INT32": ("int_contents", np.int32),
        "INT64": ("int64_contents", np.int64),
        "UINT8": ("uint_contents", np.uint32),
        "UINT16": ("uint_contents", np.uint32),
        "UINT32": ("uint_contents", np.uint32),
        "UINT64": ("uint64_contents", np.uint64),
        "FP32": ("fp32_contents", np.float32),
        "FP64": ("fp64_contents", np.float64),
        "BYTES": ("bytes_contents", np.object_),
    }
)


def read_infer(
    message: Message, signature: Signature, image: ImageInput | None
) -> InferenceRequest:
    """Return what a message asks for.

    Args:
        message: a ``ModelInferRequest``.
        signature: the model's.
        image: the model's image input, in whose place encoded images may come.

    Raises:
        InvalidRequest: it does not have the protocol's form.
        InvalidTensor: an input contradicts itself or the signature.
    """
    # One more than there can be is enough to tell what is wrong with it.
    inputs = message.inputs[: len(signature.inputs) + 1]
    outputs = message.outputs[: len(signature.outputs) + 1]
    sizes = max((len(spec.shape) for spec in signature.inputs), default=0) + 1
    document = {
        "id": message.id or None,
        "parameters": _parameters("", message),
        "inputs": [_input(f"inputs[{i}]", tensor, sizes) for i, tensor in enumerate(inputs)],
        "outputs": [_output(f"outputs[{i}]", output) for i, output in enumerate(outputs)],
    }
    return read_document(document, signature, _contents(message, inputs), image)


def _input(field: str, tensor: Message, sizes: int) -> dict[str, Any]:
    found = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": tensor.shape[:sizes],
        "parameters": _parameters(field, tensor),
    }
    read_parameters(field, found)  # none changes how the values are read, or it is refused
    return found


def _output(field: str, output: Message) -> dict[str, Any]:
    return {"name": output.name, "parameters": _parameters(field, output)}


def _parameters(field: str, holder: Message) -> dict[str, Any]:
    if len(holder.parameters) > _MOST_PARAMETERS:
        where = f"{field}.parameters" if field else "parameters"
        raise InvalidRequest(f"{where} has more than {_MOST_PARAMETERS} members")
    return {
        name: getattr(value, value.WhichOneof("parameter_choice") or "", None)
        for name, value in holder.parameters.items()
    }


def _contents(message: Message, inputs: Sequence[Message]) -> Sequence[memoryview]:
    """Return the bytes of inputs, in their order."""
    raw = message.raw_input_contents
    if not raw:
        return [_typed(f"inputs[{i}]", tensor) for i, tensor in enumerate(inputs)]
    if any(tensor.HasField("contents") for tensor in inputs):
        raise InvalidRequest("the request has both raw_input_contents and contents of an input")
    if len(raw) != len(message.inputs):
        raise InvalidRequest(
            f"raw_input_contents has {len(raw)} tensors, inputs has {len(message.inputs)}"
        )
    return [memoryview(data) for data in raw[: len(inputs)]]


def _typed(field: str, tensor: Message) -> memoryview:
    """Return the values of an input in ``contents`` as bytes."""
    if tensor.datatype == "FP16":
        raise InvalidTensor(f"{field}: FP16 values come in raw_input_contents alone")
    if tensor.datatype not in _FIELDS:
        return memoryview(b"")  # no datatype of a model, and refused as that
    name, kind = _FIELDS[tensor.datatype]
    for other, _ in tensor.contents.ListFields():
        if other.name != name:
            raise InvalidTensor(
                f"{field}.contents has {other.name}, {tensor.datatype} values belong in {name}"
            )
    values = getattr(tensor.contents, name)
    if kind is np.object_:
        return memoryview(join_elements(values))
    array = np.array(values, dtype=kind)
    narrow = array.astype(DATATYPES[tensor.datatype])
    if kind is not narrow.dtype.type and not np.array_equal(narrow, array):
        raise InvalidTensor(f"{field}.contents holds a value beyond {tensor.datatype}")
    return narrow.view(np.uint8).data
