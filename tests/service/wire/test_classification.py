"""Outputs as their highest classes."""

from typing import Any

import numpy as np
import pytest

from service.artifact.signature import TensorSpec
from service.wire.classification import can_classify, classify


def classes(
    values: Any, count: int = 2, labels: Any = None, shape: Any = ("n", 3), dtype: Any = np.float32
) -> Any:
    return classify(TensorSpec("y", "FP32", shape), np.array(values, dtype), count, labels).tolist()


def test_the_highest_come_first_each_with_its_index() -> None:
    assert classes([[1, 5, 4]]) == [["5.000000:1", "4.000000:2"]]


def test_every_row_has_its_own() -> None:
    assert classes([[1, 5, 4], [9, -2, 0.5]], 1) == [["5.000000:1"], ["9.000000:0"]]


def test_labels_follow_where_there_is_one_for_each_class() -> None:
    assert classes([[1, 5, 4]], 1, ["a", "b", "c"]) == [["5.000000:1:b"]]
    assert classes([[1, 5, 4]], 1, ["a", "b"]) == [["5.000000:1"]]


@pytest.mark.parametrize("count", [3, 4, 2**64])
def test_more_than_there_are_means_all(count: int) -> None:
    assert len(classes([[1, 5, 4]], count)[0]) == 3


def test_equal_ones_stand_by_their_index_and_what_is_no_number_last() -> None:
    assert classes([[7, np.nan, 7, -np.inf]], 4, shape=("n", 4)) == [
        ["7.000000:0", "7.000000:2", "-inf:3", "nan:1"]
    ]


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (np.uint8, [0, 255, 3]),
        (np.int8, [-128, 127, 0]),
        (np.uint64, [0, 2**64 - 1, 3]),
        (np.int64, [-(2**63), 2**63 - 1, 0]),
    ],
)
def test_integers_have_no_fraction_and_keep_their_order_at_the_limits(
    dtype: Any, values: list[int]
) -> None:
    assert classes([values], 3, dtype=dtype) == [[f"{values[i]}:{i}" for i in (1, 2, 0)]]


def test_half_floats_are_taken_though_triton_does_not() -> None:
    assert classes([[1, 5, 4]], 1, dtype=np.float16) == [["5.000000:1"]]


@pytest.mark.parametrize("shape", [(2, 3), (None, 3)])
def test_an_output_without_rows_has_one_ranking(shape: Any) -> None:
    assert classes([[1, 5, 4], [9, 2, 0]], shape=shape) == ["9.000000:3", "5.000000:1"]


def test_a_row_is_one_ranking_however_many_sizes_it_has() -> None:
    assert classes([[[1, 2], [4, 3]]], 1, shape=("n", 2, 2)) == [["4.000000:2"]]


def test_no_rows_have_no_classes() -> None:
    found = classify(TensorSpec("y", "FP32", ("n", 3)), np.zeros((0, 3), np.float32), 2, None)
    assert found.shape == (0, 2)


def test_a_scalar_is_a_class_of_its_own() -> None:
    assert classes(3, shape=()) == ["3.000000:0"]


def test_truths_and_texts_have_no_order() -> None:
    assert [kind for kind in ("FP32", "INT8", "BOOL", "BYTES") if can_classify(of(kind))] == [
        "FP32",
        "INT8",
    ]


def of(datatype: str) -> TensorSpec:
    return TensorSpec("y", datatype, ("n",))
