"""Convolutional networks with batch normalization, built by name."""

from training.models.config import NetworkConfig
from training.models.errors import ModelError, describe
from training.models.normalize import Normalize, NormalizedNetwork
from training.models.registry import NAMES, build, parse

__all__ = [
    "NAMES",
    "ModelError",
    "NetworkConfig",
    "Normalize",
    "NormalizedNetwork",
    "build",
    "describe",
    "parse",
]
