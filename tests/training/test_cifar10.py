import io
import pickletools
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.python2_pickle import dumps
from training.datasets import DatasetError, load
from training.datasets.python_batch import PythonBatchError, parse

CLASSES = [b"airplane", b"automobile", b"bird", b"cat", b"deer", b"dog", b"frog", b"horse"]
META = {b"label_names": [*CLASSES, b"ship", b"truck"], b"num_cases_per_batch": 10000}


def a_batch(seed: int, count: int = 20) -> dict[bytes, Any]:
    images = np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)
    return {
        b"batch_label": b"training batch %d of 5" % seed,
        b"labels": [number % 10 for number in range(count)],
        b"data": images,
        b"filenames": [b"image_%d.png" % number for number in range(count)],
    }


def a_set(folder: Path, **changes: Any) -> Path:
    batches = {f"data_batch_{number}": a_batch(number) for number in range(1, 6)}
    files = {**batches, "test_batch": a_batch(6), "batches.meta": META, **changes}
    for name, content in files.items():
        (folder / name).write_bytes(dumps(content))
    return folder


def test_the_six_batches_become_images_of_three_planes(tmp_path: Path) -> None:
    dataset = load({"name": "cifar10", "folder": a_set(tmp_path), "validation_fraction": 0.2})

    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [80, 20, 20]
    rows = a_batch(6)[b"data"]
    assert np.array_equal(dataset.test.inputs, rows.reshape(-1, 3, 32, 32))
    assert dataset.test.inputs[0, 1, 0, 2] == rows[0, 1024 + 2]  # green, first row, third column
    assert dataset.labels[8] == "ship"


def test_a_missing_batch_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"unpack cifar-10-python\.tar\.gz"):
        load({"name": "cifar10", "folder": tmp_path})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_batch": {b"labels": [1]}}, "no data and labels in it"),
        ({"test_batch": {b"data": np.zeros((1, 9), np.uint8), b"labels": [1]}}, "shape (1, 9)"),
        ({"test_batch": {**a_batch(6), b"labels": [10] * 20}}, "not 20 numbers from 0 to 9"),
        ({"test_batch": {**a_batch(6), b"labels": [1]}}, "not 20 numbers from 0 to 9"),
        ({"batches.meta": {b"label_names": [b"cat"]}}, "no ten label_names"),
        ({"batches.meta": {b"label_names": [7] * 10}}, "label_names are not ASCII text"),
        ({"batches.meta": {b"label_names": [b"\xff"] * 10}}, "label_names are not ASCII text"),
    ],
)
def test_a_batch_with_other_contents_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        load({"name": "cifar10", "folder": a_set(tmp_path, **changes)})

    assert message in str(caught.value)


def test_the_batches_written_here_are_real_pickles() -> None:
    # It checks that every opcode finds what it needs on stack and memo, and runs none.
    pickletools.dis(dumps(a_batch(1)), out=io.StringIO())


def test_all_values_of_a_batch_are_read() -> None:
    batch = a_batch(1, count=300)  # enough for the long forms of the memo's opcodes

    found = parse(dumps(batch))

    assert np.array_equal(found.pop(b"data"), batch.pop(b"data"))
    assert found == batch


def test_an_array_stored_by_columns_is_read_by_columns() -> None:
    array = np.arange(8, dtype=np.uint8).reshape(2, 4)
    stored = dumps({b"data": array}).replace(b"b\x89U", b"b\x88U")

    assert parse(stored)[b"data"].tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_single_items_and_repeated_strings_have_opcodes_of_their_own() -> None:
    # {"a": [5, 6, 7], "b": "a"}, item by item, the second "a" from the memo, 7 as a long
    content = b"\x80\x02}U\x01aq\x01](K\x05K\x06e\x8a\x01\x07asU\x01bh\x01s."

    assert parse(content) == {b"a": [5, 6, 7], b"b": b"a"}


class _Runs:
    """Unpickling it would call print."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("gotcha",)


def _pickled(value: Any) -> bytes:
    import pickle

    return pickle.dumps(value, protocol=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_pickled({"x": _Runs()}), "opcode BINUNICODE at byte"),
        (b"\x80\x02}(U\x01acos\nsystem\nU\x02ls\x85Ru.", "it names 'os.system'"),
        (b"\x80\x02}(U\x01a(U\x02lsios\nsystem\nu.", "opcode INST at byte"),
        (b"\x80\x02}(U\x01acnumpy\nndarray\nK\x05\x85Ru.", "it calls numpy.ndarray other than"),
        (b"\x80\x02}(U\x01aNu.", "a value of type NoneType"),
        (b"\x80\x02}(U\x01a](Neu.", "a value of type list"),
        (b"\x80\x02K\x05.", "not the structure of a batch"),
        (b"\x80\x02}(U\x01au.", "not the structure of a batch"),
        (b"\x80\x02.", "not the structure of a batch"),
        (b"\x80\x02}", "not the structure of a batch"),
        (b"not a pickle", "not the structure of a batch"),
        (_pickled(OrderedDict()), "it names 'collections.OrderedDict'"),
    ],
)
def test_nothing_but_the_published_structure_is_read(
    content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PythonBatchError) as caught:
        parse(content)

    assert message in str(caught.value)
    assert capsys.readouterr().out == ""


def test_an_array_of_another_type_is_refused() -> None:
    content = dumps({b"data": np.zeros((2, 4), np.uint8)}).replace(b"U\x02u1", b"U\x02f4")

    with pytest.raises(PythonBatchError, match="something else than unsigned bytes"):
        parse(content)


@pytest.mark.parametrize(
    "number",
    [b"J\xff\xff\xff\x7f", b"\x8a\x0b" + b"\x7f" * 11],
    ids=["2 GiB, if it were taken for a size", "more than there are addresses"],
)
def test_a_number_in_the_place_of_an_array_s_bytes_allocates_nothing(number: bytes) -> None:
    array = np.zeros((2, 4), np.uint8)
    stored = dumps({b"data": array}).replace(b"U\x08" + b"\0" * 8, number)

    with pytest.raises(PythonBatchError, match="an array without its bytes"):
        parse(stored)
