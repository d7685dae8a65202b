"""Arrays and bytes, both ways."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from foldserve_client.errors import InvalidAnswer, InvalidCall
from foldserve_client.tensors import Array, datatype_of, to_array, to_bytes

NUMBERS = ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def around(array: Array) -> Array:
    data = b"".join([to_bytes("x", array)])  # as a body is made
    return to_array(datatype_of("x", array), array.shape, memoryview(data))


def assert_same(found: Array, expected: Array) -> None:
    assert found.dtype == expected.dtype.newbyteorder("=")
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


@given(st.data(), st.sampled_from(NUMBERS), st.sampled_from("<>"))
def test_numbers_come_back_to_the_bit_from_any_byte_order(
    data: st.DataObject, kind: str, order: str
) -> None:
    array = data.draw(hnp.arrays(np.dtype(order + kind), SHAPES))
    assert_same(around(array), array)
    assert_same(around(array.T), array.T)


@given(st.lists(st.one_of(st.binary(), st.text()), max_size=5))
def test_texts_and_bytes_come_back_as_bytes(elements: list[str | bytes]) -> None:
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    expected = [each.encode() if isinstance(each, str) else each for each in elements]
    assert around(array).tolist() == expected


def test_an_array_of_texts_is_one_of_bytes() -> None:
    assert around(np.array([["a", "Größe"]])).tolist() == [[b"a", "Größe".encode()]]


def test_the_little_end_comes_first() -> None:
    assert bytes(to_bytes("x", np.array([1], ">i4"))) == b"\x01\0\0\0"
    assert bytes(to_bytes("x", np.array([1.5], np.float32))) == b"\0\0\xc0\x3f"


def test_a_view_with_strides_is_row_major_on_the_wire() -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert bytes(to_bytes("x", array[::2, ::-1])) == bytes([3, 2, 1, 0, 11, 10, 9, 8])


def test_what_comes_back_is_the_callers_own() -> None:
    data = memoryview(b"\0" + np.arange(3, dtype="<f4").tobytes())[1:]  # where no float may lie
    array = to_array("FP32", [3], data)
    assert array.flags.writeable
    assert array.flags.aligned
    array += 1
    assert bytes(data) == np.arange(3, dtype="<f4").tobytes()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        ([1.0], "no numpy array but list"),
        (np.array([1j]), "complex128"),
        (np.array(["1999"], "M8[s]"), "datetime64"),
        (np.array([b"a"]), "use dtype=object"),
        (np.zeros(1, np.longdouble), "which no model takes"),
        (np.zeros(1, [("a", "f4")]), "which no model takes"),
    ],
)
def test_what_no_tensor_holds_is_refused_by_name(array: Array, said: str) -> None:
    with pytest.raises(InvalidCall, match=f"input 'x'.*{said}"):
        datatype_of("x", array)


def test_an_object_that_is_no_text_is_refused_by_name() -> None:
    with pytest.raises(InvalidCall, match="input 'x' holds int"):
        to_bytes("x", np.array([b"a", 1], np.object_))


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("FP32", [2], bytes(7)),
        ("FP32", [2], bytes(12)),
        ("FP32", [], b""),
        ("BF16", [1], bytes(2)),
        ("BYTES", [1], b""),
        ("BYTES", [1], b"\1\0\0"),
        ("BYTES", [1], b"\2\0\0\0a"),
        ("BYTES", [1], b"\1\0\0\0ab"),
        ("BYTES", [2], b"\1\0\0\0a"),
        ("BYTES", [0], b"a"),
    ],
)
def test_bytes_that_are_no_such_tensor_are_refused(
    datatype: str, shape: list[int], data: bytes
) -> None:
    with pytest.raises(InvalidAnswer):
        to_array(datatype, shape, memoryview(data))
