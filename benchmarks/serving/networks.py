"""Networks that are served, with random weights, as factories for `foldserve-export build`.

Their batch norms have statistics that were measured on noise, as training would leave them: with
random ones a deep network answers every picture alike, and no check would tell answers apart.
"""

import torch
from torch import Tensor, nn

from tests.export.networks import ResNet
from training.models import build

NOISES = 16
COARSE = 7  # pixels of the noise before it is enlarged: pictures are smooth


def network8() -> nn.Module:
    """The bundled digits' network with a sixth of its filters: (N, 1, 8, 8) to (N, 10).

    A run of it takes 0.02 ms, in a batch of 32 less than 0.01 ms a row: what is left is the server.
    """
    network = build("residual", {"filters": [8, 16], "blocks": [1, 1]})
    return measured(network, 16 * noise(1, 8))


def network28() -> nn.Module:
    """The network of `training/configs/fashion_mnist.toml`: (N, 1, 28, 28) to (N, 10)."""
    network = build("residual", {"filters": [32, 64, 128], "blocks": [1, 1, 2]})
    return measured(network, 255 * noise(1, 28))


def resnet18() -> nn.Module:
    """ResNet-18, for normalized pictures: (N, 3, 224, 224) to (N, 1000)."""
    return measured(ResNet(), 4 * noise(3, 224) - 2)


def noise(channels: int, size: int) -> Tensor:
    """Smooth noise between 0 and 1, shape (16, channels, size, size)."""
    coarse = torch.rand(NOISES, channels, COARSE, COARSE)
    return nn.functional.interpolate(coarse, (size, size), mode="bilinear")


def measured(network: nn.Module, inputs: Tensor) -> nn.Module:
    """Give every batch norm the statistics of these inputs."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the average of all batches, here of the one
    with torch.no_grad():
        network.train()(inputs)
    return network.eval()
