"""Checkpoints as the training stage writes them, of small untrained networks."""

from pathlib import Path

import torch

from tests.export.networks import randomize_statistics
from training import checkpoint, models
from training.inputs import parse_input

METRICS = {"accuracy": 0.5, "samples": 10, "split": "test"}


def write_checkpoint(path: Path, name: str, seed: int = 0) -> Path:
    """A checkpoint of the network `name` with random weights and statistics."""
    torch.manual_seed(seed)
    config = models.parse(name)
    checkpoint.save(
        path,
        checkpoint.Checkpoint(
            model=randomize_statistics(models.build(name)).eval(),
            model_name=name,
            model_config=config.model_dump(mode="json"),
            labels=tuple(f"class {index}" for index in range(config.classes)),
            input=parse_input(_input(tuple(config.input_shape))),
            data={"name": "digits"},
            metrics=METRICS,
        ),
    )
    return path


def _input(shape: tuple[int, ...]) -> dict[str, object]:
    if len(shape) < 3:
        return {"kind": "signal", "shape": shape, "value_range": (-3.0, 3.0)}
    channels, height, width = shape
    color = "L" if channels == 1 else "RGB"
    size = {"channels": channels, "height": height, "width": width}
    return {"kind": "image", "color": color, **size}
