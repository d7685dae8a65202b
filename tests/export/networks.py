"""Networks to export, each made by a factory: ``tests.export.networks:resnet18``."""

import torch
from torch import Tensor, nn


def randomize_statistics(module: nn.Module) -> nn.Module:
    """Give every batch norm statistics, gammas (every tenth negative) and betas worth folding."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            channels = part.num_features
            with torch.no_grad():
                part.weight.uniform_(0.5, 1.5)
                part.weight[torch.arange(channels) % 10 == 0] *= -1
                part.bias.uniform_(-0.5, 0.5)
            if part.running_mean is not None and part.running_var is not None:
                part.running_mean.uniform_(-0.5, 0.5)
                part.running_var.uniform_(0.5, 2.0)
    return module


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a skip: He et al. 2015, the block of ResNet-18."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet(nn.Module):
    """ResNet-18: 20 batch norms, 11.7 million parameters, (N, 3, H, W) to (N, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(BasicBlock(i, o, stride), BasicBlock(o, o, 1))
                for i, o, stride in widths
            )
        )
        self.fc = nn.Linear(512, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.pool(torch.relu(self.bn1(self.conv1(x)))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def resnet18() -> nn.Module:
    return randomize_statistics(ResNet())


class Small(nn.Module):
    """Conv, batch norm, ReLU, mean, Linear: (N, 3, H, W) to (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(torch.relu(self.bn(self.conv(x))).mean((2, 3)))
        return logits


class Unpadded(nn.Module):
    """Two unpadded convolutions of stride 2 with batch norm: (N, 3, H, W) to (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 5, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, stride=2, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        logits: Tensor = self.fc(torch.relu(self.bn2(self.conv2(x))).mean((2, 3)))
        return logits


class ActivationFirst(nn.Module):
    """Conv, ReLU, batch norm, as Keras users write it: nothing folds backward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.bn = nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.bn(torch.relu(self.conv(x))).mean((2, 3))
        return result


def small() -> nn.Module:
    return randomize_statistics(Small())


def unpadded() -> nn.Module:
    return randomize_statistics(Unpadded())


def activation_first() -> nn.Module:
    return randomize_statistics(ActivationFirst())


def fails() -> nn.Module:
    raise RuntimeError("out of ideas")


def no_module() -> int:
    return 3


def leaves() -> nn.Module:
    raise SystemExit(0)


def scripted() -> nn.Module:
    return torch.jit.ScriptModule()


def small_in_parallel() -> nn.Module:
    return nn.DataParallel(small())
