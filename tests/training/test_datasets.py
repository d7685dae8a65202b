import io
import random
import struct
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from training.datasets import DatasetError, load
from training.datasets.splits import stratified
from training.inputs import SignalInput


def test_a_draw_keeps_the_classes_in_proportion_and_has_the_exact_size() -> None:
    targets = np.repeat([0, 1, 2], [50, 30, 17])

    rest, drawn = stratified(targets, 20, seed=0)

    assert np.bincount(targets[drawn]).tolist() == [10, 6, 4]  # exact: 10.3, 6.2, 3.5
    assert sorted([*rest, *drawn]) == list(range(97))


def test_the_same_seed_draws_the_same_samples_and_another_seed_others() -> None:
    targets = np.repeat([0, 1], 50)

    _, first = stratified(targets, 20, seed=0)
    _, again = stratified(targets, 20, seed=0)
    _, other = stratified(targets, 20, seed=1)

    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize("count", [0, 10])
def test_a_draw_that_leaves_nothing_is_refused(count: int) -> None:
    with pytest.raises(DatasetError, match="cannot draw"):
        stratified(np.zeros(10, dtype=np.int64), count, seed=0)


def test_a_fifth_of_the_digits_is_held_out() -> None:
    dataset = load({"name": "digits"})

    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [1293, 144, 360]
    assert dataset.input.shape == dataset.test.inputs.shape[1:] == (1, 8, 8)
    assert dataset.test.inputs.dtype == np.uint8
    assert set(np.unique(dataset.train.inputs)) == {round(level * 255 / 16) for level in range(17)}


def test_the_splits_of_the_digits_share_no_image() -> None:
    dataset = load({"name": "digits"})
    images = [
        {image.tobytes() for image in split.inputs}
        for split in (dataset.train, dataset.validation, dataset.test)
    ]

    assert len(images[0] | images[1] | images[2]) == 1797  # no two digits are equal
    assert sum(map(len, images)) == 1797


def test_a_train_limit_takes_from_the_training_samples_alone() -> None:
    whole, limited = load({"name": "digits"}), load({"name": "digits", "train_limit": 100})

    assert len(limited.train) == 100
    assert set(np.bincount(limited.train.targets)) == {10}
    assert np.array_equal(whole.test.inputs, limited.test.inputs)
    assert np.array_equal(whole.validation.inputs, limited.validation.inputs)


def test_mnist1d_is_made_here_and_is_the_same_every_time() -> None:
    first, again = load({"name": "mnist1d"}), load({"name": "mnist1d"})

    assert first.test.inputs.shape == (1000, 1, 40)
    assert first.test.inputs.dtype == np.float32
    assert np.array_equal(first.train.inputs, again.train.inputs)
    assert isinstance(first.input, SignalInput)
    low, high = first.input.value_range
    assert low <= first.train.inputs.min() < first.train.inputs.max() <= high


def test_making_mnist1d_leaves_the_global_generators_alone() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - that one is meant
    expected = random.random(), np.random.rand()  # noqa: NPY002, S311 - as above
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - as above

    load({"name": "mnist1d"})

    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002, S311 - as above


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "imagenet"}, "data: input tag 'imagenet'"),
        ({"name": "digits", "split": 1}, "data: digits.split: no such key (got 1)"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError) as caught:
        load(options)

    assert message in str(caught.value)


def a_folder(folder: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 10) -> Path:
    for shade, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = Image.new("RGB", (6, 4), (100 * shade, number, 7))
            image.save(folder / name / f"{number}.png")
    return folder


def test_a_folder_of_images_becomes_classes_by_name(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "pets")
    (folder / "notes.txt").write_text("not a class")
    (folder / "cat" / "notes.txt").write_text("not an image")

    dataset = load({"name": "image_folder", "folder": str(folder), "height": 4, "width": 6})

    assert dataset.labels == ("cat", "dog")
    assert dataset.input.shape == (3, 4, 6)
    splits = (dataset.train, dataset.validation, dataset.test)
    assert [len(split) for split in splits] == [14, 2, 4]
    for split in splits:
        assert (split.inputs[:, 0, 0, 0] == 100 * split.targets).all()


def test_a_missing_folder_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds one folder of images per class"):
        load({"name": "image_folder", "folder": tmp_path / "no", "height": 4, "width": 4})


def test_a_folder_with_one_class_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, ("cat",))

    with pytest.raises(DatasetError, match="two classes are the least"):
        load({"name": "image_folder", "folder": folder, "height": 4, "width": 4})


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    (folder / "emu").mkdir()

    with pytest.raises(DatasetError, match=r"emu has no image \(.jpeg, .jpg, .png, .webp\)"):
        load({"name": "image_folder", "folder": folder, "height": 4, "width": 4})


def a_gif() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4)).save(file, "GIF")
    return file.getvalue()


def a_png_that_claims(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4)).save(file, "PNG")
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = file.getvalue()  # signature and length before the header, pixels behind it
    return content[:12] + header + struct.pack(">I", crc32(header)) + content[33:]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "is not a JPEG, PNG or WebP image"),
        (a_gif(), "is not a JPEG, PNG or WebP image"),  # nor is a program started for an EPS file
        (None, "cannot be decoded"),
        (a_png_that_claims(65_000, 65_000), "cannot be decoded .*exceeds limit"),
    ],
    ids=["text", "gif", "cut", "bomb"],
)
def test_a_file_that_is_no_image_is_named(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    folder = a_folder(tmp_path)
    bad = folder / "cat" / "3.png"
    half = bad.read_bytes()[:45]  # the header, and no pixels
    bad.write_bytes(half if content is None else content)

    with pytest.raises(DatasetError, match=rf"cat/3.png {message}"):
        load({"name": "image_folder", "folder": folder, "height": 4, "width": 4})


def test_hidden_files_and_folders_are_neither_images_nor_classes(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "pets")
    a_folder(folder, (".ipynb_checkpoints",))
    (folder / "cat" / "._3.png").write_bytes(b"what macOS leaves on other file systems")

    dataset = load({"name": "image_folder", "folder": folder, "height": 4, "width": 6})

    assert dataset.labels == ("cat", "dog")
    assert sum(map(len, (dataset.train, dataset.validation, dataset.test))) == 20


def test_a_link_to_an_image_elsewhere_is_an_image(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "pets")
    (folder / "cat" / "3.png").rename(tmp_path / "elsewhere.png")
    (folder / "cat" / "3.png").symlink_to(tmp_path / "elsewhere.png")

    dataset = load({"name": "image_folder", "folder": folder, "height": 4, "width": 6})

    assert sum(map(len, (dataset.train, dataset.validation, dataset.test))) == 20


@pytest.mark.parametrize("link", ["cat/again.png", "dog/again.png"])
def test_one_image_under_two_names_is_refused_for_it_could_be_learned_and_held_out(
    tmp_path: Path, link: str
) -> None:
    folder = a_folder(tmp_path / "pets")
    (folder / link).symlink_to(folder / "cat" / "3.png")

    with pytest.raises(DatasetError, match=r"again\.png is the same file as .*cat/3\.png"):
        load({"name": "image_folder", "folder": folder, "height": 4, "width": 6})


def test_a_class_that_links_to_another_class_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "pets")
    (folder / "emu").symlink_to(folder / "cat")

    with pytest.raises(DatasetError, match=r"emu/0\.png is the same file as .*cat/0\.png"):
        load({"name": "image_folder", "folder": folder, "height": 4, "width": 6})


def test_a_single_training_sample_has_no_batch_statistics_and_is_refused() -> None:
    with pytest.raises(DatasetError, match="1 training samples; 2 are the least"):
        load({"name": "digits", "train_limit": 1})
    assert len(load({"name": "digits", "train_limit": 2}).train) == 2


@pytest.mark.parametrize("name", ["b\udcffd", "a\nb", "\x1b[31mred"])
def test_a_folder_whose_name_is_no_text_cannot_be_a_label(tmp_path: Path, name: str) -> None:
    folder = a_folder(tmp_path / "pets", ("cat", name))

    with pytest.raises(DatasetError, match="which cannot be a label") as caught:
        load({"name": "image_folder", "folder": folder, "height": 4, "width": 6})

    assert str(caught.value).isprintable()
