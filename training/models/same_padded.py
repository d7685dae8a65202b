"""What CNN1D and CNN2D share: same-padded convolutions and one linear layer."""

from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from training.models.config import Filters, NetworkConfig, Placement
from training.models.layers import Dimensions, activated, convolution, strided


class SamePaddedConfig(NetworkConfig):
    """Parameters of both; kernel size and stride are the same in every convolution."""

    channels: int = Field(default=3, ge=1, le=1024)
    filters: tuple[Filters, ...] = Field(default=(16, 32), min_length=1, max_length=16)
    kernel_size: int = Field(default=3, ge=1, le=31)
    stride: int = Field(default=1, ge=1, le=8)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    batch_norm: Placement = "before"
    bn_eps: float = Field(default=1e-5, gt=0, le=0.1)
    bn_momentum: float = Field(default=0.1, gt=0, le=1)

    @property
    def features(self) -> int:
        """Numbers per sample that reach the linear layer."""
        numbers = self.filters[-1]
        for extent in self.input_shape[1:]:
            numbers *= strided(extent, self.stride, len(self.filters))
        return numbers

    @model_validator(mode="after")
    def _kernel_has_a_middle(self) -> Self:
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd to keep the extent (got {self.kernel_size})")
        return self


class SamePaddedCnn(nn.Module):
    """(N, channels, extent...) -> logits (N, classes)."""

    def __init__(self, dimensions: Dimensions, config: SamePaddedConfig) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(
                activated(
                    convolution(
                        dimensions,
                        inputs,
                        outputs,
                        kernel_size=config.kernel_size,
                        stride=config.stride,
                        padding=config.kernel_size // 2,
                    ),
                    config,
                )
                for inputs, outputs in pairwise((config.channels, *config.filters))
            )
        )
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.features, config.classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits of a batch of normalized inputs."""
        logits: Tensor = self.classifier(self.dropout(self.features(inputs).flatten(1)))
        return logits
