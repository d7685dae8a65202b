import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.datasets import DatasetError, load
from training.datasets.idx import read

Change = Callable[[bytes], bytes]


def an_idx(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def a_set(folder: Path, *, packed: bool, train: int = 40, test: int = 10) -> Path:
    generator = np.random.default_rng(0)
    for part, count in (("train", train), ("t10k", test)):
        images = generator.integers(0, 256, (count, 28, 28))
        for name, array in (("images-idx3", images), ("labels-idx1", np.arange(count) % 10)):
            content = an_idx(array)
            path = folder / f"{part}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_the_four_files_are_read_packed_or_not(tmp_path: Path, *, packed: bool) -> None:
    folder = a_set(tmp_path, packed=packed)

    dataset = load({"name": "fashion_mnist", "folder": folder, "validation_fraction": 0.25})

    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [30, 10, 10]
    expected = np.random.default_rng(0).integers(0, 256, (40, 28, 28))
    together = np.concatenate([dataset.train.inputs, dataset.validation.inputs])
    assert sorted(image.tobytes() for image in together) == sorted(
        image.astype(np.uint8).tobytes() for image in expected
    )
    assert dataset.labels[9] == "Ankle boot"
    assert dataset.test.targets.tolist() == list(range(10))


def test_a_missing_set_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="apt install dataset-fashion-mnist"):
        load({"name": "fashion_mnist", "folder": tmp_path})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"\0\0\x09" + content[3:], "magic number 00000903, expected 00000803"),
        (lambda content: content[:3] + b"\x01" + content[4:], "magic number 00000801"),
        (lambda content: content[:9], "ends within its header"),
        (lambda content: content[:-1], "(2, 3, 4) needs 24 bytes of data, found 23"),
        (lambda content: content + b"!", "(2, 3, 4) needs 24 bytes of data, found more"),
        (lambda content: content[:4] + b"\xff" * 12, "claims 79228162458924105385300197375 bytes"),
        (lambda content: content[:0], "magic number , expected 00000803"),
    ],
)
def test_a_malformed_idx_file_is_refused_with_the_reason(
    tmp_path: Path, change: Change, message: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(change(an_idx(np.zeros((2, 3, 4)))))

    with pytest.raises(DatasetError) as caught:
        read(path, dimensions=3)

    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [lambda packed: packed[:-9], lambda packed: b"!" + packed[1:]],
    ids=["cut", "not gzip"],
)
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, change: Change) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(change(gzip.compress(an_idx(np.zeros(5)))))

    with pytest.raises(DatasetError, match=r"file\.gz"):
        read(path, dimensions=1)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-images-idx3-ubyte", np.zeros((40, 8, 8)), "images are (8, 8), not 28x28"),
        ("train-labels-idx1-ubyte", np.zeros(39), "40 train images but 39 labels"),
        ("t10k-labels-idx1-ubyte", np.full(10, 10), "a t10k label is 10, the largest is 9"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    tmp_path: Path, name: str, array: np.ndarray, message: str
) -> None:
    folder = a_set(tmp_path, packed=False)
    (folder / name).write_bytes(an_idx(array))

    with pytest.raises(DatasetError) as caught:
        load({"name": "fashion_mnist", "folder": folder})

    assert message in str(caught.value)


def test_a_set_without_held_out_images_is_refused_before_any_training(tmp_path: Path) -> None:
    folder = a_set(tmp_path, packed=False, test=0)

    with pytest.raises(DatasetError, match="0 held-out samples; 1 are the least"):
        load({"name": "fashion_mnist", "folder": folder})
