"""A small residual network whose every batch norm folds backward.

Stem Conv 3x3 -> BN -> ReLU (-> MaxPool 2), then stages of post-activation basic blocks (He et al.,
"Deep Residual Learning for Image Recognition", 2016), global average pool, one linear layer. Each
stage after the first halves height and width. Every batch norm stands directly behind its own
convolution.
"""

from collections import OrderedDict
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from training.models.config import Extent, Filters, NetworkConfig
from training.models.layers import activated, batch_norm, convolution


class ResidualConfig(NetworkConfig):
    """Parameters of `Residual`: ``filters`` and ``blocks`` have one entry per stage."""

    channels: int = Field(default=1, ge=1, le=1024)
    height: Extent = 28
    width: Extent = 28
    filters: tuple[Filters, ...] = Field(default=(32, 64, 128), min_length=1, max_length=6)
    blocks: tuple[int, ...] = Field(default=(1, 1, 1), min_length=1, max_length=6)
    stem_pool: bool = Field(default=False, description="halve the image behind the stem")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    batch_norm: Literal["before", "none"] = "before"
    bn_eps: float = Field(default=1e-5, gt=0, le=0.1)
    bn_momentum: float = Field(default=0.1, gt=0, le=1)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        if len(self.blocks) != len(self.filters):
            raise ValueError(
                f"blocks has {len(self.blocks)} entries and filters {len(self.filters)};"
                " each stage needs one of both"
            )
        if not all(
            1 <= count <= 64 for count in self.blocks
        ):  # 64: more is a typing error; ResNet-152 has 36
            raise ValueError(f"every stage has 1 to 64 blocks (got {list(self.blocks)})")
        if self.stem_pool and min(self.height, self.width) < 2:
            raise ValueError(f"a {self.height}x{self.width} image cannot be halved by stem_pool")
        return self


class Residual(nn.Module):
    """(N, channels, height, width) -> logits (N, classes)."""

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        first = config.filters[0]
        self.stem = activated(_conv(config.channels, first, config), config)
        self.pool = nn.MaxPool2d(2) if config.stem_pool else nn.Identity()
        self.stages = nn.Sequential(
            *(
                _stage(inputs, outputs, count, 1 if index == 0 else 2, config)
                for index, ((inputs, outputs), count) in enumerate(
                    zip(pairwise((first, *config.filters)), config.blocks, strict=True)
                )
            )
        )
        self.average = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.filters[-1], config.classes)
        self.apply(_initialize)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch of normalized images."""
        pooled = self.average(self.stages(self.pool(self.stem(images)))).flatten(1)
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits


class BasicBlock(nn.Module):
    """relu(BN(conv(relu(BN(conv(x))))) + shortcut(x)); the shortcut is x itself or a 1x1 conv."""

    def __init__(self, inputs: int, outputs: int, stride: int, config: ResidualConfig) -> None:
        super().__init__()
        self.first = activated(_conv(inputs, outputs, config, stride=stride), config)
        self.second = _normalized(_conv(outputs, outputs, config), config)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            projection = _conv(inputs, outputs, config, kernel_size=1, stride=stride)
            self.shortcut = _normalized(projection, config)
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        output: Tensor = self.relu(self.second(self.first(images)) + self.shortcut(images))
        return output


def _stage(
    inputs: int, outputs: int, count: int, stride: int, config: ResidualConfig
) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride, config)
    return nn.Sequential(
        first, *(BasicBlock(outputs, outputs, 1, config) for _ in range(count - 1))
    )


def _conv(
    inputs: int, outputs: int, config: ResidualConfig, *, kernel_size: int = 3, stride: int = 1
) -> nn.Conv1d | nn.Conv2d:
    """Same-padded; without a bias where a batch norm follows, whose shift would swallow it."""
    return convolution(
        2,
        inputs,
        outputs,
        kernel_size=kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        bias=config.batch_norm == "none",
    )


def _normalized(conv: nn.Conv1d | nn.Conv2d, config: ResidualConfig) -> nn.Sequential:
    layers = OrderedDict[str, nn.Module]([("conv", conv)])
    if config.batch_norm != "none":
        layers["bn"] = batch_norm(conv, config)
    return nn.Sequential(layers)


def _initialize(module: nn.Module) -> None:
    """He initialization, as in the paper; torch's own default is smaller by a factor of 2.4."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
