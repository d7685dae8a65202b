"""A network whose batch norms meet several fates: folded backward, forward, reduced, kept."""

import torch
from torch import Tensor, nn

from tests.export.networks import randomize_statistics


class Before(nn.Module):
    """Batch norm and activation before each convolution: the residual block of He et al., 2016."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(torch.relu(self.bn1(x)))
        result: Tensor = x + self.conv2(torch.relu(self.bn2(y)))
        return result


class Mixed(nn.Module):
    """(N, 1, 28, 28) to (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, stride=2, bias=False)
        self.stem_bn = nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(*(Before(8) for _ in range(3)))
        self.last_bn = nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 16, 3, stride=2)
        self.head_bn = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(torch.relu(self.stem_bn(self.stem(x))))
        x = self.head(torch.relu(self.last_bn(x)))
        logits: Tensor = self.fc(self.head_bn(torch.relu(x)).mean((2, 3)))
        return logits


def mixed() -> nn.Module:
    """The network, the same each time."""
    torch.manual_seed(0)
    return randomize_statistics(Mixed())
