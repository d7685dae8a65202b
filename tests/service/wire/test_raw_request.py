"""A body that is the tensor itself."""

from typing import Any

import numpy as np
import pytest

from service.artifact.signature import Signature, TensorSpec
from service.errors import InvalidRequest, InvalidTensor
from service.wire.inference_request import read_request

Y = TensorSpec("y", "FP32", ("n", 3))


def read(body: bytes, *specs: TensorSpec, output: TensorSpec = Y) -> Any:
    request = read_request(body, Signature(specs, (output,)), header_length=0)
    assert (request.id, request.images, request.timeout_s) == (None, None, None)
    assert [(each.spec, each.binary) for each in request.outputs] == [(output, True)]
    return request.inputs["x"]


def spec(*shape: Any, datatype: str = "FP32") -> TensorSpec:
    return TensorSpec("x", datatype, shape)


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        (("n", 6), (1, 6)),
        (("n", 2, 3), (1, 2, 3)),
        (("n", 2, "m"), (1, 2, 3)),
        (("n", "m"), (1, 6)),
    ],
)
def test_a_model_with_rows_takes_one_row(shape: Any, found: tuple[int, ...]) -> None:
    values = np.arange(6, dtype=np.float32)
    array = read(values.tobytes(), spec(*shape))
    assert array.shape == found
    assert array.reshape(-1).tolist() == values.tolist()


@pytest.mark.parametrize(
    ("shape", "found"), [((6,), (6,)), ((2, None), (2, 3)), (("m",), (6,)), ((3, 2), (3, 2))]
)
def test_a_model_without_rows_has_one_open_size_at_most(shape: Any, found: tuple[int, ...]) -> None:
    fixed = TensorSpec("y", "FP32", (3,))
    assert read(b"\0" * 24, spec(*shape), output=fixed).shape == found


def test_an_empty_body_is_an_empty_tensor_where_the_model_takes_one() -> None:
    assert read(b"", spec("n", "m")).shape == (1, 0)
    assert read(b"", spec("n", 0, "m")).shape == (1, 0, 0)
    with pytest.raises(InvalidTensor, match=r"the body has 0 bytes, \[1, 2\] of FP32 are 8"):
        read(b"", spec("n", 2))


def test_a_text_is_the_whole_body_without_a_length() -> None:
    assert read("grün".encode(), spec("n", datatype="BYTES")).tolist() == ["grün"]
    assert read(b"", spec("n", 1, datatype="BYTES")).tolist() == [[""]]
    assert read(b"\3\0\0\0", spec("n", "m", datatype="BYTES")).tolist() == [["\3\0\0\0"]]


def test_a_body_is_no_text_where_it_is_no_utf8() -> None:
    with pytest.raises(InvalidTensor, match="the body: element 0 is not UTF-8 text"):
        read(b"\xff", spec("n", 1, datatype="BYTES"))


@pytest.mark.parametrize("columns", [0, 2])
def test_a_body_is_no_several_texts(columns: int) -> None:
    message = rf"the body is one element of BYTES, \[1, {columns}\] are not"
    with pytest.raises(InvalidTensor, match=message):
        read(b"text", spec("n", columns, datatype="BYTES"))


@pytest.mark.parametrize("length", [1, 7, 9, 16])
def test_other_bytes_than_the_model_takes_are_refused(length: int) -> None:
    with pytest.raises(InvalidTensor, match=f"^the body has {length} bytes, .* of FP32 are 8"):
        read(b"\0" * length, spec("n", 2))


def test_bytes_that_are_no_whole_rows_are_refused() -> None:
    with pytest.raises(InvalidTensor, match=r"has 15 bytes, \[1, 1, 2\] of FP32 are 8"):
        read(b"\0" * 15, spec("n", "m", 2))


def test_several_open_sizes_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="several open sizes"):
        read(b"\0" * 8, spec("n", "m", "k"))


def test_several_inputs_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="the model has 2"):
        read(b"\0" * 8, spec("n", 2), TensorSpec("z", "FP32", ("n", 2)))
