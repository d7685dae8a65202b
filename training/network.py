"""The network that a configuration and a data set ask for together."""

from typing import Any

import numpy as np
import torch

from training.config import ConfigError, TrainingConfig, without_name
from training.datasets import Dataset, Samples
from training.inputs import ImageInput
from training.models import ModelError, NormalizedNetwork, build, parse

_AT_ONCE = 256  # samples; in float64 a third of a gigabyte where they are 224x224 in color


def fitted_config(config: TrainingConfig, dataset: Dataset) -> dict[str, Any]:
    """Complete the section ``[model]`` with what follows from the data: input shape and classes.

    Raises:
        ConfigError: If the network, its augmentation and the data do not fit together.
    """
    name, given, shape = config.model["name"], without_name(config.model), dataset.input.shape
    axes = ("channels", "height", "width") if len(shape) == 3 else ("channels", "length")
    fields = {**dict(zip(axes, shape, strict=True)), "classes": len(dataset.labels), **given}
    try:
        parsed = parse(name, fields)
    except ModelError as error:
        raise ConfigError(f"model: {error}; {config.data.name} has inputs of {shape}") from error
    if (parsed.input_shape, parsed.classes) != (shape, len(dataset.labels)):
        raise ConfigError(
            f"model: {name} takes {parsed.input_shape} and gives {parsed.classes} classes, but"
            f" {config.data.name} has inputs of {shape} and {len(dataset.labels)} classes"
        )
    if not isinstance(dataset.input, ImageInput) and config.augmentation.needs_images:
        wrong = config.augmentation.needs_images[0]
        raise ConfigError(f"augmentation.{wrong}: for images, but {config.data.name} has signals")
    return parsed.model_dump(mode="json")


def initial(
    name: str, fields: dict[str, Any], train: Samples, seed: int, device: torch.device
) -> NormalizedNetwork:
    """Build a network with weights drawn from a seed, normalized to its training samples."""
    torch.manual_seed(seed)
    model = build(name, fields)
    model.normalize.set_statistics(*statistics(train))
    model.to(device)
    if train.inputs.ndim == 4:  # oneDNN's convolutions are a third faster over channels-last images
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's annotations
    return model


def statistics(samples: Samples) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, in raw units; a constant channel has 1."""
    inputs, axes = samples.inputs, (0, *range(2, samples.inputs.ndim))
    mean = inputs.mean(axis=axes, dtype=np.float64, keepdims=True)
    # numpy's own std would hold all of it in float64, eight times the images.
    chunks = (inputs[start : start + _AT_ONCE] for start in range(0, len(inputs), _AT_ONCE))
    squares = sum(np.square(chunk - mean).sum(axis=axes) for chunk in chunks)
    std = np.sqrt(squares * (mean.size / inputs.size))
    return mean.ravel().tolist(), np.where(std > 0, std, 1.0).tolist()
