"""A ``ModelInferRequest`` to the request that it stands for.

The message becomes the document that the same request is over HTTP, with the bytes of its
tensors beside it, so that both are held against the signature by the same code.
"""

import math
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
from service.wire.request_inputs import named_inputs
from service.wire.tensors import stated_shape

# Each costs a microsecond or two; clients send a handful.
_MOST_PARAMETERS = 1000

# Values converted at a time: between two chunks, some milliseconds, other threads have a turn.
_CHUNK = 2**16

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
    return read_document(document, signature, _contents(message, document, signature, image), image)


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


def _contents(
    message: Message, document: dict[str, Any], signature: Signature, image: ImageInput | None
) -> Sequence[memoryview]:
    """Return the bytes of the inputs that the document has, in their order."""
    raw, stated = message.raw_input_contents, document["inputs"]
    inputs = message.inputs[: len(stated)]
    if not raw:
        named = named_inputs(document, signature)
        most = [_most(*each, signature, image) for each in named.values()]
        fields = [field for field, _ in named.values()]
        return [_typed(*each) for each in zip(fields, inputs, most, strict=True)]
    if any(tensor.HasField("contents") for tensor in inputs):
        raise InvalidRequest("the request has both raw_input_contents and contents of an input")
    if len(raw) != len(message.inputs):
        raise InvalidRequest(
            f"raw_input_contents has {len(raw)} tensors, inputs has {len(message.inputs)}"
        )
    return [memoryview(data) for data in raw[: len(inputs)]]


def _most(
    field: str, stated: dict[str, Any], signature: Signature, image: ImageInput | None
) -> int | None:
    """Return how many values are enough to tell what is wrong with an input.

    Another shape than the model's is refused before any value is looked at; that of images is
    told with the rest of the request.
    """
    if image is not None and stated["datatype"] == "BYTES":
        return None
    spec = signature.inputs_by_name[stated["name"]]
    return math.prod(stated_shape(field, stated, spec)) + 1


def _typed(field: str, tensor: Message, most: int | None) -> memoryview:
    """Return the values of an input in ``contents`` as bytes, so many at most."""
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
        return memoryview(join_elements(values[:most]))
    narrow = DATATYPES[tensor.datatype]
    count = len(values) if most is None else min(len(values), most)
    chunks = (values[i : min(i + _CHUNK, count)] for i in range(0, count, _CHUNK))
    return memoryview(b"".join([_narrowed(field, tensor, each, kind, narrow) for each in chunks]))


def _narrowed(
    field: str, tensor: Message, values: Sequence[Any], kind: type[np.generic], dtype: Any
) -> bytes:
    array = np.array(values, dtype=kind)
    narrow = array.astype(dtype)
    if kind is not narrow.dtype.type and not np.array_equal(narrow, array):
        raise InvalidTensor(f"{field}.contents holds a value beyond {tensor.datatype}")
    return narrow.tobytes()
