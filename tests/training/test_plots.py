from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import plots
from training.metrics import Mistake


def ink(path: Path) -> float:
    """Share of pixels that are not white."""
    with Image.open(path) as image:
        return float((np.asarray(image.convert("L")) < 250).mean())


def a_history(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": epoch,
            "train_loss": 2 / epoch,
            "validation_loss": 2.5 / epoch,
            "train_accuracy": 1 - 0.5 / epoch,
            "validation_accuracy": 1 - 0.6 / epoch,
        }
        for epoch in range(1, epochs + 1)
    ]


def test_curves_are_drawn(tmp_path: Path) -> None:
    plots.curves(tmp_path / "some.png", a_history(10), best_epoch=7)
    plots.curves(tmp_path / "one.png", a_history(1), best_epoch=1)

    assert 0.01 < ink(tmp_path / "some.png") < 0.5


def test_a_single_epoch_is_a_dot_in_the_colour_of_its_curve(tmp_path: Path) -> None:
    plots.curves(tmp_path / "one.png", a_history(1), best_epoch=1)

    with Image.open(tmp_path / "one.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    blue = np.abs(pixels - (0x00, 0x72, 0xB2)).sum(axis=2) < 30
    legend = 150  # pixels of blue line in the two legends
    assert blue.sum() > 2 * legend


def test_a_confusion_matrix_is_drawn_with_or_without_room_for_numbers(tmp_path: Path) -> None:
    counts = np.diag(np.full(10, 36))
    counts[9, 3] = 1
    plots.confusion(tmp_path / "ten.png", counts, [str(i) for i in range(10)])
    plots.confusion(tmp_path / "many.png", np.eye(200, dtype=np.int64), [""] * 200)

    assert ink(tmp_path / "ten.png") > 0.3
    assert ink(tmp_path / "many.png") > 0.3


@pytest.mark.parametrize("label", ["$\\foo$", "a$b$c", "", "a sentence " * 10])
def test_any_name_of_a_folder_can_be_a_label(tmp_path: Path, label: str) -> None:
    plots.confusion(tmp_path / "c.png", np.eye(3, dtype=np.int64), [label, "b", "c"])

    cells = largest_square(tmp_path / "c.png")
    assert cells > 0.15  # of the picture, however long the labels are


def largest_square(path: Path) -> float:
    """Share of the pixels that have the matrix's darkest colour, which nothing else has."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return float((np.abs(pixels - (0x00, 0x22, 0x4E)).sum(axis=2) < 12).mean())


def test_a_class_without_samples_divides_by_nothing(tmp_path: Path) -> None:
    plots.confusion(tmp_path / "c.png", np.zeros((2, 2), dtype=np.int64), ["a", "b"])

    assert (tmp_path / "c.png").is_file()


MISTAKES = [Mistake(index, 0, 1, 0.9) for index in range(5)]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 40), (4, 40)])
def test_mistakes_are_drawn_as_what_they_are(tmp_path: Path, shape: tuple[int, ...]) -> None:
    draw = np.random.default_rng(0)
    inputs = draw.integers(0, 256, (5, *shape), dtype=np.uint8)
    if len(shape) == 2:
        inputs = inputs.astype(np.float32)
    plots.mistakes(tmp_path / "five.png", inputs, MISTAKES, ["$a", "a sentence " * 10])
    plots.mistakes(tmp_path / "one.png", inputs, MISTAKES[:1], ["$a", "b"])

    assert 0.02 < ink(tmp_path / "one.png") < ink(tmp_path / "five.png") * 2
    with Image.open(tmp_path / "five.png") as five, Image.open(tmp_path / "one.png") as one:
        assert five.width > 3 * one.width  # four beside each other
        assert five.height > 1.5 * one.height


def test_without_a_mistake_the_picture_says_so(tmp_path: Path) -> None:
    plots.mistakes(tmp_path / "none.png", np.zeros((0, 1, 8, 8), np.uint8), [], ["a", "b"])

    assert 0.001 < ink(tmp_path / "none.png") < 0.1
