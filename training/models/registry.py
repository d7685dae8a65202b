"""Networks by name, as configurations and checkpoints call them."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from torch import nn

from training.models.cnn1d import Cnn1d, Cnn1dConfig
from training.models.cnn2d import Cnn2d, Cnn2dConfig
from training.models.config import NetworkConfig
from training.models.errors import ModelError, describe
from training.models.keras_style_2d import KerasStyle2d, KerasStyle2dConfig
from training.models.normalize import NormalizedNetwork
from training.models.residual import Residual, ResidualConfig

_CONFIGS: dict[str, type[NetworkConfig]] = {
    "keras_style_2d": KerasStyle2dConfig,
    "cnn1d": Cnn1dConfig,
    "cnn2d": Cnn2dConfig,
    "residual": ResidualConfig,
}
_NETWORKS: dict[str, Callable[[Any], nn.Module]] = {
    "keras_style_2d": KerasStyle2d,
    "cnn1d": Cnn1d,
    "cnn2d": Cnn2d,
    "residual": Residual,
}

NAMES = tuple(_CONFIGS)
"""Every network that `build` knows."""


def parse(name: str, config: Mapping[str, Any] | None = None) -> NetworkConfig:
    """Check a network's parameters and fill in the defaults.

    Raises:
        ModelError: If the network is unknown or a parameter is wrong; the message is one line.
    """
    if name not in _CONFIGS:
        raise ModelError(f"no such model: {name!r}; there are {', '.join(NAMES)}")
    try:
        return _CONFIGS[name].model_validate(config or {})
    except ValidationError as error:
        raise ModelError(f"{name}: {describe(error)}") from error


def build(name: str, config: Mapping[str, Any] | None = None) -> NormalizedNetwork:
    """Make a network with fresh weights; its normalization is the identity until it is set.

    Args:
        name: One of `NAMES`.
        config: The network's parameters; what is left out has the article's value.

    Raises:
        ModelError: If the network is unknown or a parameter is wrong.
    """
    parsed = parse(name, config)
    return NormalizedNetwork(_NETWORKS[name](parsed), parsed.input_shape)
