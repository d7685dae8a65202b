"""The Keras-style network: valid convolutions with batch norm after the activation.

Conv 3x3 valid 32 -> ReLU -> BN -> MaxPool 2 -> Conv 3x3 valid 64 -> ReLU -> BN -> MaxPool 2
-> Flatten -> Dense 64 -> ReLU -> Dense 10, on 32x32x3. Its batch norms stand behind a ReLU, so
they cannot be folded backward into their convolutions.
"""

from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from training.models.config import Extent, Filters, NetworkConfig, Placement
from training.models.layers import activated, convolution


class KerasStyle2dConfig(NetworkConfig):
    """Parameters of `KerasStyle2d`; the defaults are Keras's own conventions."""

    channels: int = Field(default=3, ge=1, le=1024)
    height: Extent = 32
    width: Extent = 32
    filters: tuple[Filters, ...] = Field(default=(32, 64), min_length=1, max_length=8)
    dense: Filters = 64
    dropout: float = Field(default=0.0, ge=0, lt=1)
    batch_norm: Placement = "after"
    bn_eps: float = Field(default=1e-3, gt=0, le=0.1)
    bn_momentum: float = Field(default=0.01, gt=0, le=1)  # Keras writes it 0.99

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    @property
    def features(self) -> int:
        """Numbers per sample that reach the first dense layer."""
        height, width = self.height, self.width
        for _ in self.filters:
            height, width = (height - 2) // 2, (width - 2) // 2
        return self.filters[-1] * max(height, 0) * max(width, 0)

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if not self.features:
            raise ValueError(
                f"nothing of a {self.height}x{self.width} input is left after"
                f" {len(self.filters)} valid 3x3 convolutions and poolings"
            )
        return self


class KerasStyle2d(nn.Module):
    """(N, channels, height, width) -> logits (N, classes).

    Weights start as Keras starts them: Glorot uniform, biases zero. Flatten is channel-major here
    and channel-minor in Keras, so a dense kernel copied from there needs its rows permuted.
    """

    def __init__(self, config: KerasStyle2dConfig) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for inputs, outputs in pairwise((config.channels, *config.filters)):
            stages += [activated(convolution(2, inputs, outputs), config), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*stages)
        self.hidden = nn.Linear(config.features, config.dense)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.dense, config.classes)
        self.apply(_initialize)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch of normalized images."""
        hidden = self.hidden(self.features(images).flatten(1)).relu()
        logits: Tensor = self.classifier(self.dropout(hidden))
        return logits


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
