from pathlib import Path

import numpy as np
from PIL import Image

from training import plots


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


def test_a_confusion_matrix_is_drawn_with_or_without_room_for_numbers(tmp_path: Path) -> None:
    counts = np.diag(np.full(10, 36))
    counts[9, 3] = 1
    plots.confusion(tmp_path / "ten.png", counts, [str(i) for i in range(10)])
    plots.confusion(tmp_path / "many.png", np.eye(200, dtype=np.int64), [""] * 200)

    assert ink(tmp_path / "ten.png") > 0.3
    assert ink(tmp_path / "many.png") > 0.3


def test_a_class_without_samples_divides_by_nothing(tmp_path: Path) -> None:
    plots.confusion(tmp_path / "c.png", np.zeros((2, 2), dtype=np.int64), ["a", "b"])

    assert (tmp_path / "c.png").is_file()
