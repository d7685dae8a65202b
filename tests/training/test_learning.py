import io
from pathlib import Path

import pytest
from rich.console import Console

from training import checkpoint
from training.config import load
from training.train import train

CONFIGS = Path(__file__).parents[2] / "training" / "configs"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.slow
@pytest.mark.skipif(
    not DEBIAN.is_dir(), reason="Fashion-MNIST is not here: apt install dataset-fashion-mnist"
)
def test_one_short_epoch_on_real_fashion_mnist_learns(tmp_path: Path) -> None:
    short = ["training.epochs=1", "data.train_limit=3000", "training.batch_size=64"]
    narrow = ["model.filters=[8, 16, 32]", "model.blocks=[1, 1, 1]", "training.threads=1"]

    path = train(
        load(CONFIGS / "fashion_mnist.toml", [*short, *narrow]),
        runs=tmp_path,
        console=Console(file=io.StringIO()),
    )

    metrics = checkpoint.load(path).metrics
    assert metrics["samples"] == 10_000
    assert metrics["accuracy"] > 0.5  # a guess has 0.1
