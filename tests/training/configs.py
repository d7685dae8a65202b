"""A run so small that it takes a second."""

from typing import Any

from training.config import TrainingConfig


def tiny(name: str = "tiny", **loop: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "name": name,
            "data": {"name": "digits", "train_limit": 160},
            "model": {"name": "residual", "filters": [4, 8], "blocks": [1, 1], "dropout": 0.1},
            "training": {"epochs": 3, "batch_size": 32, "device": "cpu", "threads": 1, **loop},
            "optimizer": {"learning_rate": 0.1},
            "augmentation": {"shift": 1, "rotation": 10, "scale": 0.1, "erase": 0.2},
        }
    )
