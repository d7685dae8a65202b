"""Which samples are taken from where, and what is no sample of the network."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.errors import UsageError
from export.precision.samples import Samples, gather
from export.sources.original import Original, TensorInput
from tests.export.archives import DAMAGES
from tests.export.precision.networks import CLASSES, graph, images, original

LABELS = ("ant", "bee", "cat", "dog")


def network(**more: Any) -> Original:
    return original(graph(), labels=LABELS, **more)


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def gathered(of: Original | None = None, **paths: Path) -> Samples:
    return gather(paths.get("calibration"), paths.get("held_out"), of or network())


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint's path, samples beside it."""
    saved(
        tmp_path / "samples.npz",
        calibration=images(6),
        held_out=images(3, seed=1),
        targets=np.array([0, 1, CLASSES - 1]),
    )
    return tmp_path / "checkpoint.safetensors"


def test_samples_beside_the_checkpoint_need_no_option(checkpoint: Path) -> None:
    samples = gathered(network(checkpoint=checkpoint))

    assert samples.calibration is not None
    assert samples.held_out is not None
    assert samples.held_out.targets is not None
    assert (len(samples.calibration), samples.calibration.origin) == (6, "the training split")
    assert (len(samples.held_out), samples.held_out.origin) == (3, "the held-out split")
    assert samples.held_out.targets.tolist() == [0, 1, 3]


def test_without_any_there_are_none(tmp_path: Path) -> None:
    assert gathered() == Samples(None, None)
    assert gathered(network(checkpoint=tmp_path / "checkpoint.safetensors")) == Samples(None, None)


def test_an_option_comes_before_what_lies_beside(checkpoint: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", images(5))

    samples = gathered(network(checkpoint=checkpoint), calibration=tmp_path / "mine.npy")

    assert samples.calibration is not None
    assert samples.held_out is not None
    assert (len(samples.calibration), samples.calibration.origin) == (5, "mine.npy")
    assert samples.held_out.origin == "the held-out split"


def test_a_quarter_of_calibration_data_alone_is_kept_back_to_judge_by(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", images(10))

    samples = gathered(calibration=tmp_path / "mine.npy")

    assert samples.calibration is not None
    assert samples.held_out is not None
    assert (len(samples.calibration), len(samples.held_out)) == (8, 2)
    assert samples.held_out.origin == "a kept-back quarter of mine.npy"
    together = np.concatenate([samples.calibration.values, samples.held_out.values])
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(images(10), axis=0))


def test_held_out_data_is_never_calibrated_on(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.npz", held_out=images(4), targets=np.zeros(4, int))

    samples = gathered(held_out=path)

    assert samples.calibration is None
    assert samples.held_out is not None


def test_one_file_may_hold_both(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.npz", calibration=images(4), held_out=images(2))

    samples = gathered(calibration=path)

    assert samples.held_out is not None
    assert len(samples.held_out) == 2
    assert samples.held_out.targets is None


def picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value, value, value)).save(path)


def test_a_folder_of_images_with_a_subfolder_a_class_knows_the_classes(tmp_path: Path) -> None:
    picture(tmp_path / "bee" / "1.png", 10)
    picture(tmp_path / "dog" / "2.png", 20)

    held_out = gathered(network(image=True), held_out=tmp_path).held_out

    assert held_out is not None
    assert held_out.targets is not None
    assert held_out.values.shape == (2, 3, 8, 8)
    assert held_out.values[:, 0, 0, 0].tolist() == [10, 20]
    assert held_out.targets.tolist() == [1, 3]


def test_a_folder_with_other_names_has_no_classes(tmp_path: Path) -> None:
    picture(tmp_path / "bee" / "1.png", 10)
    picture(tmp_path / "2.png", 20)

    held_out = gathered(network(image=True), held_out=tmp_path).held_out

    assert held_out is not None
    assert held_out.targets is None


def array(**change: Any) -> dict[str, Any]:
    return {"calibration": images(4), "held_out": images(4), "targets": np.zeros(4, int)} | change


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (array(calibration=np.zeros((4, 8, 8, 3))), r"'calibration': has inputs of \[8, 8, 3\]"),
        (array(calibration=images(0)), "'calibration': is no array of numbers"),
        (array(calibration=np.full((4, 3, 8, 8), "a")), "'calibration': is no array of numbers"),
        (array(calibration=images(4) * np.nan), "'calibration': holds numbers that are not finite"),
        (array(targets=np.zeros(3, int)), "'targets' is not one class for each of 'held_out'"),
        (array(targets=np.zeros(4)), "'targets' is not one class for each of 'held_out'"),
        (array(targets=np.full(4, 4)), "'targets' holds classes that the model does not have"),
        (array(targets=np.full(4, -1)), "'targets' holds classes that the model does not have"),
        ({"inputs": images(4)}, "holds no array 'calibration'"),
        (array(calibration=np.array([{}])), "cannot be read"),
    ],
)
def test_arrays_that_are_no_samples_of_the_network_are_refused(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "mine.npz", **arrays)

    with pytest.raises(UsageError, match=f"--calibration {path}: {message}"):
        gathered(calibration=path)


@pytest.mark.parametrize(
    ("pixels", "held"),
    [
        (np.linspace(0, 1, 768), "0 to 1"),
        (np.linspace(-2, 2, 768), "-2 to 2"),
        (np.linspace(0, 256, 768), "0 to 256"),
    ],
    ids=["scaled", "normalized", "beyond white"],
)
def test_images_that_were_made_smaller_numbers_already_are_refused(
    pixels: Any, held: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "mine.npz", calibration=pixels.reshape(4, 3, 8, 8))

    with pytest.raises(UsageError, match=f"holds numbers from {held}, pixels are 0 to 255"):
        gathered(original(graph(), image=True), calibration=path)


def test_pixels_as_they_are_and_any_numbers_of_what_is_no_image_are_taken(tmp_path: Path) -> None:
    pixels = saved(tmp_path / "pixels.npz", calibration=np.ones((4, 3, 8, 8), np.uint8))
    signals = saved(tmp_path / "signals.npz", calibration=images(4))

    assert gathered(original(graph(), image=True), calibration=pixels).calibration is not None
    assert gathered(calibration=signals).calibration is not None


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.array([{"a": 1}], object), allow_pickle=True)

    with pytest.raises(UsageError, match="cannot be read"):
        gathered(calibration=tmp_path / "mine.npy")


@pytest.mark.parametrize("content", [b"", b"neither", b"PK\x03\x04", b"\x80\x04N."])
def test_a_file_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(content)

    with pytest.raises(UsageError, match="cannot be read") as refused:
        gathered(calibration=path)
    assert "allow_pickle" not in str(refused.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_archive_is_refused(damage: Callable[[Path], Path], tmp_path: Path) -> None:
    path = damage(saved(tmp_path / "mine.npz", **array()))

    with pytest.raises(UsageError, match=f"--calibration {path}: cannot be read"):
        gathered(calibration=path)


def test_an_array_that_says_it_is_larger_than_any_memory_is_refused(tmp_path: Path) -> None:
    np.save(path := tmp_path / "mine.npy", images(4))
    path.write_bytes(path.read_bytes().replace(b"(4, 3, 8, 8)", b"(9999999999,3,8,8)", 1))

    with pytest.raises(UsageError, match=f"--calibration {path}: cannot be read"):
        gathered(calibration=path)


def test_a_small_file_that_unpacks_to_more_than_is_read_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.npz", **array())
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (0xFFFFFFFE).to_bytes(4, "little")  # its size unpacked
    path.write_bytes(data)

    with pytest.raises(UsageError, match="more than 4294967296 bytes when unpacked"):
        gathered(calibration=path)


def test_a_file_among_the_arrays_that_is_none_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(path := tmp_path / "mine.npz", "w") as archive:
        archive.writestr("calibration", "neither")

    with pytest.raises(UsageError, match="'calibration': is no array of numbers"):
        gathered(calibration=path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        gathered(held_out=tmp_path / "nowhere.npz")


def test_a_folder_for_a_network_that_takes_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder, and the input is no image"):
        gathered(calibration=tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no \.jpeg, \.jpg, \.png, \.webp files"):
        gathered(network(image=True), calibration=tmp_path)


def test_a_damaged_image_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    with pytest.raises(UsageError, match=r"broken\.png cannot be read"):
        gathered(network(image=True), calibration=tmp_path)


def test_too_few_to_keep_some_back_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", images(3))

    with pytest.raises(UsageError, match="3 inputs; give 4 or more, or --held-out as well"):
        gathered(calibration=tmp_path / "mine.npy")


def test_a_network_whose_shape_is_not_known_takes_any(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.zeros((4, 2)))
    unknown = Original(graph(), TensorInput(), network().provenance)

    samples = gathered(unknown, calibration=tmp_path / "mine.npy")

    assert samples.calibration is not None
