"""CNN2D: same-padded 2-D convolutions with batch norm before the activation.

Conv2d(3->16, k3, p1) -> BN2d -> ReLU -> Conv2d(16->32, k3, p1) -> BN2d -> ReLU
-> Linear(32*28*28 -> 10), on images of shape 3x28x28.
"""

from training.models.config import Extent
from training.models.same_padded import SamePaddedCnn, SamePaddedConfig


class Cnn2dConfig(SamePaddedConfig):
    """Parameters of `Cnn2d`."""

    height: Extent = 28
    width: Extent = 28

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.channels, self.height, self.width


class Cnn2d(SamePaddedCnn):
    """(N, channels, height, width) -> logits (N, classes)."""

    def __init__(self, config: Cnn2dConfig) -> None:
        super().__init__(2, config)
