"""Convolution, batch norm and activation in either order, in one or two dimensions."""

from collections import OrderedDict
from typing import Literal

from torch import nn

from training.models.config import NetworkConfig

Dimensions = Literal[1, 2]
Convolution = nn.Conv1d | nn.Conv2d

_CONV: dict[Dimensions, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}


def batch_norm(conv: Convolution, config: NetworkConfig) -> nn.Module:
    """Batch normalization of a convolution's output, with the configured eps and momentum."""
    norm = nn.BatchNorm1d if isinstance(conv, nn.Conv1d) else nn.BatchNorm2d
    return norm(conv.out_channels, eps=config.bn_eps, momentum=config.bn_momentum)


def convolution(
    dimensions: Dimensions,
    inputs: int,
    outputs: int,
    *,
    kernel_size: int = 3,
    stride: int = 1,
    padding: int = 0,
    bias: bool = True,
) -> Convolution:
    """One convolution over signals (N, C, L) or images (N, C, H, W)."""
    return _CONV[dimensions](
        inputs, outputs, kernel_size, stride=stride, padding=padding, bias=bias
    )


def activated(conv: Convolution, config: NetworkConfig) -> nn.Sequential:
    """Put ReLU and batch norm behind a convolution, in the configured order.

    Args:
        conv: The convolution whose output is normalized and activated.
        config: Says where the batch norm stands.

    Returns:
        A sequence with the members ``conv``, ``bn`` (unless there is none) and ``relu``.
    """
    layers = OrderedDict[str, nn.Module]([("conv", conv), ("relu", nn.ReLU())])
    if config.batch_norm != "none":
        layers["bn"] = batch_norm(conv, config)
    if config.batch_norm == "before":
        layers.move_to_end("relu")
    return nn.Sequential(layers)


def strided(extent: int, stride: int, times: int = 1) -> int:
    """Extent left after so many same-padded convolutions with an odd kernel."""
    for _ in range(times):
        extent = (extent - 1) // stride + 1
    return extent
