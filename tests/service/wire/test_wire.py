"""Any tensor there and back, and any bytes at all, through the whole wire format."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.artifact.manifest import ImageInput
from service.artifact.signature import DATATYPES, Signature, TensorSpec
from service.errors import ServiceError
from service.wire.inference_request import InferenceRequest, read_header_length, read_request
from service.wire.inference_response import write_response
from service.wire.request_outputs import WantedOutput
from tests.service.wire.wire import (
    IMAGE,
    binary_tensor,
    elements,
    json_tensor,
    little_endian,
    packed,
    random_array,
    unpacked,
)

OPEN = Signature((TensorSpec("x", "FP32", ("n", 1, 2, 2)),), (TensorSpec("y", "FP32", ("n", 2)),))
SEVERAL = Signature(
    (TensorSpec("x", "BYTES", ("n",)), TensorSpec("z", "INT8", (None, "m"))),
    (TensorSpec("y", "FP32", ("n", 2)),),
)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, Any]:
    """A datatype and an array of it, of any shape with few elements."""
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
    if datatype != "BYTES":
        return datatype, random_array(datatype, shape, draw(st.integers(0, 2**32)))
    count = int(np.prod(shape))
    texts = draw(st.lists(st.text(max_size=5), min_size=count, max_size=count))
    return datatype, np.array(texts, object).reshape(shape)


@given(tensors(), st.booleans(), st.integers(0, 7))
def test_a_tensor_is_read_as_it_was_written(
    tensor: tuple[str, Any], binary: bool, pad: int
) -> None:
    datatype, array = tensor
    spec = TensorSpec("x", datatype, (None,) * array.ndim)
    make = binary_tensor if binary else json_tensor
    part = little_endian(array) if binary else b""
    body, length = packed({"inputs": [make("x", datatype, array)]}, part, pad=pad)
    request = read_request(body, Signature((spec,), ()), header_length=length)
    again = request.inputs["x"]
    assert again.dtype == array.dtype
    assert again.shape == array.shape
    assert again.tolist() == array.tolist()


@given(tensors(), st.booleans())
def test_an_output_is_written_as_another_reader_reads_it(
    tensor: tuple[str, Any], binary: bool
) -> None:
    datatype, array = tensor
    spec = TensorSpec("y", datatype, (None,) * array.ndim)
    request = InferenceRequest(None, {}, None, [WantedOutput(spec, binary, 0)], None)
    document, parts = unpacked(*write_response("m", "1", request, {"y": array}, None))
    output = document["outputs"][0]
    assert (output["datatype"], output["shape"]) == (datatype, list(array.shape))
    flat = array.reshape(-1)
    if not binary:
        assert np.array_equal(np.array(output["data"], array.dtype), flat)
    elif datatype == "BYTES":
        assert elements(parts[0]) == [text.encode() for text in flat]
    else:
        assert parts[0] == little_endian(array)


def refusal(
    body: bytes, header: bytes | None, signature: Signature, image: ImageInput | None
) -> ServiceError | None:
    """Why a body is refused; None if all that its signature asks for was read."""
    try:
        length = read_header_length(header, len(body))
        request = read_request(body, signature, header_length=length, image=image)
    except ServiceError as error:
        return error
    assert request.images or len(request.inputs) == len(signature.inputs)
    return None


def assert_is_the_clients(error: ServiceError | None) -> None:
    """A message that a log can bear, and no failure of the server."""
    assert error is None or (error.status == 400 and len(str(error)) < 500)


SIGNATURES = st.sampled_from([(OPEN, None), (OPEN, IMAGE), (SEVERAL, None)])
HEADERS = st.none() | st.binary(max_size=3) | st.integers(0, 300).map(lambda n: b"%d" % n)


@given(st.binary(max_size=200), HEADERS, SIGNATURES)
def test_any_bytes_are_read_or_refused(
    body: bytes, header: bytes | None, model: tuple[Signature, ImageInput | None]
) -> None:
    assert_is_the_clients(refusal(body, header, *model))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["x", "y", "z", "", "FP32", "BYTES", "INT8", "\0", "b64", "YQ=="])
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
SIZES = st.integers(-1, 20) | ANYTHING
PARAMETERS = ANYTHING | st.fixed_dictionaries(
    {},
    optional={
        "binary_data_size": SIZES,
        "binary_data": ANYTHING,
        "binary_data_output": ANYTHING,
        "classification": SIZES,
        "timeout": SIZES,
        "sequence_id": ANYTHING,
    },
)
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "z", "y"]) | ANYTHING,
        "datatype": st.sampled_from(["FP32", "BYTES", "INT8"]) | ANYTHING,
        "shape": st.lists(st.integers(0, 3), max_size=4) | ANYTHING,
        "data": ANYTHING,
        "parameters": PARAMETERS,
    },
)
DOCUMENTS = ANYTHING | st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=3) | ANYTHING},
    optional={
        "id": ANYTHING,
        "outputs": st.lists(TENSORS, max_size=2) | ANYTHING,
        "parameters": PARAMETERS,
    },
)


@settings(max_examples=300)
@given(DOCUMENTS, st.binary(max_size=40), SIGNATURES, st.booleans())
@example({"inputs": [{"name": "x"}]}, b"", (OPEN, IMAGE), True)
def test_any_document_is_read_or_refused(
    document: Any, part: bytes, model: tuple[Signature, ImageInput | None], stated: bool
) -> None:
    body, length = packed(document, part)
    assert_is_the_clients(refusal(body, b"%d" % length if stated else None, *model))


@pytest.mark.parametrize("cut", range(0, 130, 7))
def test_a_request_that_is_cut_off_is_refused_wherever_it_is(cut: int) -> None:
    array = np.ones((1, 1, 2, 2), np.float32)
    body, length = packed({"inputs": [binary_tensor("x", "FP32", array)]}, array.tobytes())
    shorter = body[: len(body) - 1 - cut]
    assert refusal(shorter, b"%d" % length, OPEN, None) is not None
