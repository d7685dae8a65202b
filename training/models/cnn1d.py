"""CNN1D: same-padded 1-D convolutions with batch norm before the activation.

Conv1d(3->16, k3, p1) -> BN1d -> ReLU -> Conv1d(16->32, k3, p1) -> BN1d -> ReLU
-> Linear(32*28 -> 10), on signals of shape 3x28.
"""

from training.models.config import Extent
from training.models.same_padded import SamePaddedCnn, SamePaddedConfig


class Cnn1dConfig(SamePaddedConfig):
    """Parameters of `Cnn1d`."""

    length: Extent = 28

    @property
    def input_shape(self) -> tuple[int, int]:
        """(channels, length)."""
        return self.channels, self.length


class Cnn1d(SamePaddedCnn):
    """(N, channels, length) -> logits (N, classes)."""

    def __init__(self, config: Cnn1dConfig) -> None:
        super().__init__(1, config)
