"""Normalization inside the network, so that a model takes raw values."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """(x - mean) / std per channel, in raw units; starts as the identity.

    Mean and std are buffers of shape (C, 1) or (C, 1, 1): they travel in a checkpoint and end up
    as constants of an exported graph.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, input_shape: Sequence[int]) -> None:
        super().__init__()
        shape = (input_shape[0], *(1 for _ in input_shape[1:]))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def set_statistics(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Take the data set's mean and standard deviation, one number per channel.

        Raises:
            ValueError: If there is not one number per channel, or a deviation is not positive.
        """
        channels = self.mean.numel()
        if len(mean) != channels or len(std) != channels:
            raise ValueError(f"{channels} channels need as many means and deviations")
        if min(std) <= 0:
            raise ValueError(f"a standard deviation must be positive (got {min(std)})")
        self.mean.copy_(torch.tensor(mean).view_as(self.mean))
        self.std.copy_(torch.tensor(std).view_as(self.std))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, ...) raw values -> the same shape, normalized."""
        return (inputs - self.mean) / self.std


class NormalizedNetwork(nn.Module):
    """A network that takes raw values, (N, *input_shape) -> logits (N, classes)."""

    def __init__(self, network: nn.Module, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.normalize = Normalize(input_shape)
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of a batch of raw inputs."""
        logits: Tensor = self.network(self.normalize(inputs))
        return logits
