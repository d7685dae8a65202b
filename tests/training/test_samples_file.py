"""The samples that a run leaves for the stages behind it."""

from pathlib import Path

import numpy as np

from training import samples_file
from training.datasets import Dataset, Samples, load
from training.inputs import SignalInput


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays}


def test_it_holds_training_inputs_and_the_whole_held_out_split(tmp_path: Path) -> None:
    digits = load({"name": "digits"})

    samples_file.write(tmp_path / "samples.npz", digits)

    found = read(tmp_path / "samples.npz")
    assert found.keys() == {"calibration", "held_out", "targets"}
    np.testing.assert_array_equal(found["held_out"], digits.test.inputs)
    np.testing.assert_array_equal(found["targets"], digits.test.targets)
    assert found["calibration"].shape == (samples_file.CALIBRATION_SAMPLES, 1, 8, 8)
    train = {image.tobytes() for image in digits.train.inputs}
    assert all(image.tobytes() in train for image in found["calibration"])


def test_the_same_data_give_the_same_bytes(tmp_path: Path) -> None:
    digits = load({"name": "digits"})

    for name in ("one.npz", "other.npz"):
        samples_file.write(tmp_path / name, digits)

    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_a_split_too_large_is_drawn_from_every_class_in_proportion(tmp_path: Path) -> None:
    values = samples_file.LARGEST // 4 // 8  # eight of them fill the bound
    inputs = np.zeros((16, 1, values), np.float32)
    targets = np.array([0] * 12 + [1] * 4)
    few = Samples(inputs[:2, :, :4], targets[:2])
    large = Dataset(
        few,
        few,
        Samples(inputs, targets),
        ("a", "b"),
        SignalInput(shape=(1, 4), value_range=(0, 1)),
    )

    samples_file.write(tmp_path / "samples.npz", large)

    found = read(tmp_path / "samples.npz")
    assert np.bincount(found["targets"]).tolist() == [6, 2]
    assert found["held_out"].shape == (8, 1, values)
    assert found["calibration"].shape == (2, 1, 4)
