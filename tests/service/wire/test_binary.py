"""Tensors as bytes."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from service.artifact.signature import DATATYPES, TensorSpec
from service.errors import InvalidRequest, InvalidTensor
from service.wire.binary import (
    decode_binary,
    encode_binary,
    join_elements,
    split_body,
    split_elements,
)
from tests.service.wire.wire import NUMERIC, elements, little_endian, prefixed, random_array


def spec(datatype: str = "FP32", shape: tuple[int | str | None, ...] = ("n", "m")) -> TensorSpec:
    return TensorSpec("x", datatype, shape)


def decode(data: bytes, shape: Any, expected: TensorSpec | None = None) -> Any:
    expected = expected or spec()
    tensor = {"shape": shape, "datatype": expected.datatype}
    return decode_binary("inputs[0]", tensor, expected, memoryview(data))


@pytest.mark.parametrize("datatype", NUMERIC)
def test_every_datatype_is_read_and_written_as_the_extension_says(datatype: str) -> None:
    array = random_array(datatype, (3, 4))
    again = decode(little_endian(array), [3, 4], spec(datatype))
    assert again.dtype == DATATYPES[datatype]
    assert np.array_equal(again, array)
    assert bytes(encode_binary(spec(datatype), array)) == little_endian(array)


def test_texts_follow_their_lengths() -> None:
    texts = np.array([["", "a"], ["ü", "x" * 300]], object)
    again = decode(little_endian(texts), [2, 2], spec("BYTES"))
    assert again.tolist() == texts.tolist()
    assert encode_binary(spec("BYTES"), texts) == little_endian(texts)


def test_the_array_is_a_view_of_the_body() -> None:
    body = little_endian(np.ones((2, 2), np.float32))
    array = decode(body, [2, 2])
    assert np.shares_memory(array, np.frombuffer(body, np.uint8))
    assert not array.flags.writeable


@pytest.mark.parametrize("offset", range(8))
def test_a_tensor_may_stand_at_any_byte(offset: int) -> None:
    array = random_array("FP64", (2, 3))
    body = b" " * offset + little_endian(array)
    again = decode_binary(
        "inputs[0]",
        {"shape": [2, 3], "datatype": "FP64"},
        spec("FP64"),
        memoryview(body)[offset:],
    )
    assert again.flags.aligned
    assert np.array_equal(again, array)


@pytest.mark.parametrize("shape", [[0, 3], [3, 0], [0, 0]])
@pytest.mark.parametrize("datatype", ["FP32", "BOOL", "BYTES"])
def test_a_tensor_without_elements_has_no_bytes(shape: list[int], datatype: str) -> None:
    array = decode(b"", shape, spec(datatype))
    assert list(array.shape) == shape
    assert bytes(encode_binary(spec(datatype), array)) == b""


def test_a_scalar_has_one_element() -> None:
    assert decode(b"\0\0\x80\x3f", [], spec(shape=())).tolist() == 1.0
    assert bytes(encode_binary(spec(), np.array(1, np.float32))) == b"\0\0\x80\x3f"


def test_nan_and_infinity_go_through() -> None:
    values = np.array([[np.nan, np.inf, -np.inf]], np.float32)
    assert decode(little_endian(values), [1, 3]).tobytes() == values.tobytes()
    assert bytes(encode_binary(spec(), values)) == values.tobytes()


def test_what_is_not_row_major_is_written_row_major() -> None:
    assert bytes(encode_binary(spec("UINT8"), np.array([[1, 2], [3, 4]], np.uint8).T)) == (
        b"\1\3\2\4"
    )


@pytest.mark.parametrize(
    ("data", "shape", "message"),
    [
        (b"\0" * 15, [2, 2], r"has 15 bytes, \[2, 2\] of FP32 are 16"),
        (b"\0" * 17, [2, 2], "has 17 bytes"),
        (b"", [1, 1], "has 0 bytes"),
        (b"\0" * 4, [0, 1], "has 4 bytes"),
        (b"\0" * 4, [2**62, 2**62], "has 4 bytes"),
        (b"\0" * 4, [-1, -1], r"shape\[0\] must be a size"),
        (b"", [0, 2**40], "is empty and too large"),
    ],
)
def test_bytes_that_are_not_the_shapes_are_refused(data: bytes, shape: Any, message: str) -> None:
    with pytest.raises(InvalidTensor, match=rf"^inputs\[0\].*{message}"):
        decode(data, shape)


def test_another_datatype_than_the_models_is_refused() -> None:
    with pytest.raises(InvalidTensor, match=r"^inputs\[0\]\.datatype must be FP16"):
        decode_binary("inputs[0]", {"datatype": "FP32"}, spec("FP16"), memoryview(b""))


@pytest.mark.parametrize("byte", [2, 255])
def test_a_boolean_is_neither_another_byte_than_one_and_zero(byte: int) -> None:
    with pytest.raises(InvalidTensor, match="a byte that is neither 0 nor 1"):
        decode(bytes([1, byte]), [1, 2], spec("BOOL"))


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidTensor, match=r"inputs\[0\]: element 1 is not UTF-8"):
        decode(prefixed(b"a", b"\xff"), [1, 2], spec("BYTES"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has 0 bytes, too few for 2 elements"),
        (b"\0" * 7, "too few for 2"),
        (prefixed(b"abcd"), "ends before its element 1"),
        (prefixed(b"abcd") + b"\0\0", "ends before its element 1"),
        (prefixed(b"a", b"b")[:-1], "ends before its element 1"),
        (b"\xff\xff\xff\xff" + b"\0" * 8, "ends before its element 0"),
        (prefixed(b"a", b"b") + b"!", "has 1 bytes behind its last element"),
    ],
)
def test_elements_that_are_more_or_fewer_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidTensor, match=message):
        split_elements("inputs[0]", 2, memoryview(data))


def test_elements_that_are_claimed_allocate_nothing() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidTensor):
            split_elements("inputs[0]", 2**40, memoryview(b"\0" * 100))
        assert tracemalloc.get_traced_memory()[1] < 2**20, "a mebibyte of 8 tebibytes"
    finally:
        tracemalloc.stop()


def test_elements_are_joined_as_they_are_split() -> None:
    parts = [b"", b"a", b"\0" * 300]
    assert elements(join_elements(parts)) == parts
    assert split_elements("", 3, memoryview(join_elements(parts))) == parts


def test_a_body_is_divided_in_the_order_of_its_tensors() -> None:
    found = split_body([("a", 2), ("b", None), ("c", 0), ("d", 1)], b"{}xyz", 2)
    assert [None if part is None else bytes(part) for part in found] == [b"xy", None, b"", b"z"]


@pytest.mark.parametrize("size", [-1, 1.0, "2", True, [], {}])
def test_a_size_that_is_no_number_of_bytes_is_refused(size: Any) -> None:
    with pytest.raises(InvalidTensor, match=r"^a\.parameters\.binary_data_size must be a number"):
        split_body([("a", size)], b"xy", 0)


@pytest.mark.parametrize("size", [3, 2**63, 2**200])
def test_a_size_beyond_the_body_is_refused(size: int) -> None:
    with pytest.raises(InvalidTensor, match=rf"^b\..*size is {size}, 2 bytes are left behind"):
        split_body([("a", 1), ("b", size)], b"{}xyz", 2)


def test_bytes_that_belong_to_no_tensor_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="holds 1 bytes behind its last tensor"):
        split_body([("a", 1), ("b", None)], b"xy", 0)
