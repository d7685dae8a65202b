"""A body that is the tensor itself, or one image: a request without JSON.

Triton's binary tensor data extension calls it a raw binary request; its header length is 0.
"""

import math
from collections.abc import Sequence

from service.artifact.manifest import ImageInput
from service.artifact.signature import Array, Signature, Tensors, TensorSpec
from service.errors import InvalidRequest, InvalidTensor
from service.wire.binary import decode_elements, join_elements


def decode_raw(
    body: bytes | memoryview, signature: Signature, image: ImageInput | None
) -> tuple[Tensors, Sequence[bytes] | None]:
    """Return the one input, one row of it where the model has rows, or else the one image.

    Raises:
        InvalidRequest: the model has several inputs, or one with several open sizes.
        InvalidTensor: the bytes are no such input.
    """
    if image is not None:
        return {}, [bytes(body)]
    if len(signature.inputs) != 1:
        raise InvalidRequest(f"the body is one tensor, the model has {len(signature.inputs)}")
    spec = signature.inputs[0]
    shape = list(spec.wire_shape)
    if signature.batches:
        shape[0] = 1
    if shape.count(-1) > 1:
        raise InvalidRequest(f"the body does not tell several open sizes: {shape}")
    return {spec.name: _decode(spec, shape, memoryview(body))}, None


def _decode(spec: TensorSpec, shape: list[int], data: memoryview) -> Array:
    if spec.datatype == "BYTES":  # the body is one element, without its length
        shape = [1 if size == -1 else size for size in shape]
        if math.prod(shape) != 1:
            raise InvalidTensor(f"the body is one element of BYTES, {shape} are not")
        data = memoryview(join_elements([bytes(data)]))
    if -1 in shape:
        size = spec.dtype.itemsize
        row = size * math.prod(known for known in shape if known >= 0)
        shape[shape.index(-1)] = len(data) // row if row else 0
    return decode_elements("the body", tuple(shape), spec, data)
