"""JSON tensors to arrays and back."""

import tracemalloc
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifact.signature import DATATYPES, TensorSpec
from service.errors import InvalidTensor, OutputNotFinite
from service.wire.tensors import decode_tensor, encode_values

LIMITS: dict[str, Any] = {n: np.iinfo(np.dtype(k)) for n, k in DATATYPES.items() if "INT" in n}


def spec(datatype: str = "FP32", shape: tuple[int | str | None, ...] = ("n", 2)) -> TensorSpec:
    return TensorSpec("x", datatype, shape)


def decode(
    data: Any, shape: Any = None, datatype: str = "FP32", expected: TensorSpec | None = None
) -> Any:
    tensor = {"datatype": datatype, "shape": [1, 2] if shape is None else shape, "data": data}
    return decode_tensor("inputs[0]", tensor, expected or spec(datatype))


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name != "BYTES"])
def test_every_numeric_datatype_is_read(datatype: str) -> None:
    array = decode([1, 0], datatype=datatype)
    assert array.dtype == DATATYPES[datatype]
    assert array.tolist() == [[1, 0]]


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[1.0, 2], [3, 4.0]]])
def test_data_is_flat_or_nested(data: list[Any]) -> None:
    assert decode(data, [2, 2]).tolist() == [[1, 2], [3, 4]]


def test_deeply_nested_data_keeps_its_order() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    array = decode(values.tolist(), [2, 3, 4], expected=spec(shape=("n", "c", "d")))
    assert np.array_equal(array, values)


@pytest.mark.parametrize(("shape", "data"), [([0, 2], []), ([2, 0], [[], []]), ([2, 0], [])])
def test_an_empty_tensor_is_legal(shape: list[int], data: list[Any]) -> None:
    assert decode(data, shape, expected=spec(shape=("n", "m"))).shape == tuple(shape)


def test_a_scalar_has_no_sizes() -> None:
    assert decode([5], [], expected=spec(shape=())).shape == ()


def test_booleans_come_as_words_or_bits() -> None:
    assert decode([True, 0], datatype="BOOL").tolist() == [[True, False]]


def test_texts_become_objects() -> None:
    assert decode(["a", "ü"], datatype="BYTES").tolist() == [["a", "ü"]]


def test_the_largest_integers_survive() -> None:
    assert decode([2**64 - 1, 0], datatype="UINT64")[0, 0] == np.uint64(2**64 - 1)
    assert decode([-(2**63), 2**53 + 1], datatype="INT64").tolist() == [[-(2**63), 2**53 + 1]]


def test_a_whole_number_written_as_a_fraction_is_an_integer() -> None:
    assert decode([3.0, 2], datatype="INT32").tolist() == [[3, 2]]


@pytest.mark.parametrize("datatype", LIMITS)
@pytest.mark.parametrize("beyond", ["above", "below"])
def test_an_integer_beyond_its_datatype_is_refused(datatype: str, beyond: str) -> None:
    limits = LIMITS[datatype]
    value = int(limits.max) + 1 if beyond == "above" else int(limits.min) - 1
    with pytest.raises(InvalidTensor, match=rf"^inputs\[0\]\.data holds a value beyond {datatype}"):
        decode([value, 0], datatype=datatype)


@pytest.mark.parametrize("value", [1.5, 1e300, 2.0**60])
def test_a_fraction_is_no_integer_and_neither_is_what_lost_its_last_digits(value: float) -> None:
    with pytest.raises(InvalidTensor, match="holds a fraction"):
        decode([value, 0], datatype="INT64")


@pytest.mark.parametrize(("datatype", "value"), [("FP16", 1e5), ("FP32", 1e39), ("FP64", 10**400)])
def test_a_number_beyond_a_float_is_refused_and_not_infinity(datatype: str, value: float) -> None:
    with pytest.raises(InvalidTensor, match=f"beyond {datatype}"):
        decode([value, 0], datatype=datatype)


@pytest.mark.parametrize(
    ("datatype", "data", "odd"),
    [
        ("FP32", [1, "2"], "a string"),
        ("FP32", [1, None], "null"),
        ("FP32", [1, True], "a boolean"),
        ("FP32", [1, [2]], "a list"),
        ("FP32", [1, {}], "an object"),
        ("BOOL", [True, 0.5], "a number"),
        ("BYTES", ["a", 1], "a number"),
    ],
)
def test_a_value_of_another_type_is_refused(datatype: str, data: list[Any], odd: str) -> None:
    with pytest.raises(InvalidTensor, match=rf"^inputs\[0\]\.data holds {odd}, not {datatype}"):
        decode(data, datatype=datatype)


def test_a_boolean_is_neither_two_nor_minus_one() -> None:
    with pytest.raises(InvalidTensor, match="neither 0 nor 1"):
        decode([2, 0], datatype="BOOL")


@pytest.mark.parametrize("stated", ["FP64", None, 7, "x" * 1000])
def test_another_datatype_than_the_models_is_refused(stated: Any) -> None:
    with pytest.raises(InvalidTensor, match=r"^inputs\[0\]\.datatype must be FP32") as caught:
        decode([1, 2], datatype=stated, expected=spec())
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("1,2", r"shape must be a list of 2 sizes like \[-1, 2\]"),
        ([2], "must be a list of 2 sizes"),
        ([1, 2, 1], "must be a list of 2 sizes"),
        ([1, 3], r"shape\[1\] must be 2, not 3"),
        ([-1, 2], r"shape\[0\] must be a size of 0 or more, not -1"),
        ([1.0, 2], r"shape\[0\] must be a size"),
        ([True, 2], r"shape\[0\] must be a size"),
        ([None, 2], r"shape\[0\] must be a size"),
        ([10**30, 2], "has 2 values, the shape asks for"),
        ([2, 2], "has 2 values, the shape asks for 4"),
    ],
)
def test_a_shape_that_lies_is_refused_by_its_name(shape: Any, message: str) -> None:
    with pytest.raises(InvalidTensor, match=r"^inputs\[0\]\.") as caught:
        decode([1, 2], shape)
    assert caught.match(message)


def test_an_empty_tensor_may_not_be_huge_beside_its_zero() -> None:
    with pytest.raises(InvalidTensor, match="is empty and too large"):
        decode([], [0, 10**15], expected=spec(shape=("n", "m")))


@pytest.mark.parametrize("data", [None, 5, "12", {"0": 1}])
def test_data_that_is_no_list_is_refused(data: Any) -> None:
    with pytest.raises(InvalidTensor, match="data must be a list of values"):
        decode(data)


@pytest.mark.parametrize("data", [[[1, 2], [3]], [[1, 2], 3], [[1], [2], [3], [4]], [[[1, 2]]]])
def test_ragged_data_is_refused(data: list[Any]) -> None:
    with pytest.raises(InvalidTensor, match=r"inputs\[0\]\.data"):
        decode(data, [2, 2])


def test_a_lie_about_the_size_allocates_nothing() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidTensor):
            decode([1, 2], [2**40, 2])
        assert tracemalloc.get_traced_memory()[1] < 2**20, "a mebibyte of 16 tebibytes"
    finally:
        tracemalloc.stop()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_what_is_written_is_read_again_to_the_bit(values: list[float]) -> None:
    array = np.array(values, dtype=np.float32)
    written = orjson.loads(encode_values(spec(), array))
    again = decode(written, [len(values)], expected=spec(shape=("n",)))
    assert again.tobytes() == array.tobytes()


def test_an_output_is_written_flat_and_row_major() -> None:
    assert encode_values(spec(), np.array([[1, 2], [3, 4]], np.float32).T) == b"[1.0,3.0,2.0,4.0]"


def test_a_scalar_is_written_as_a_list_of_one() -> None:
    assert encode_values(spec(shape=()), np.array(0.5, np.float32)) == b"[0.5]"


def test_texts_are_written_as_texts() -> None:
    texts = np.array([["null", "b"]], object)
    assert encode_values(spec("BYTES"), texts) == b'["null","b"]'


def test_booleans_and_half_floats_are_written_as_json_has_them() -> None:
    assert encode_values(spec("BOOL"), np.array([True, False])) == b"[true,false]"
    assert orjson.loads(encode_values(spec("FP16"), np.array([0.1, 65504], np.float16))) == [
        pytest.approx(0.1, abs=2**-15),  # half a unit in the last place of float16
        65504,
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_json_cannot_carry_is_an_error_and_not_null(value: float, dtype: Any) -> None:
    with pytest.raises(OutputNotFinite, match="output 'x' holds NaN or infinity"):
        encode_values(spec(), np.array([[1, value]], dtype))
