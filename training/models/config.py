"""The parameters that every network of this package shares."""

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Placement = Literal["before", "after", "none"]
"""Where a batch norm stands: before the activation, after it, or nowhere."""

Filters = Annotated[int, Field(ge=1, le=4096)]
"""Output channels of one convolution; beyond 4096 it is a typing error."""

Extent = Annotated[int, Field(ge=1, le=4096)]
"""Samples of a signal or pixels of an image along one axis."""


class NetworkConfig(BaseModel):
    """What every network has: classes, input channels and batch normalization.

    ``bn_momentum`` is PyTorch's: the weight of the *new* batch. Keras counts the other way, so
    its ``momentum=0.99`` is 0.01 here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(ge=1, le=1024, description="input channels")
    classes: int = Field(default=10, ge=2, le=100_000, description="number of logits")
    batch_norm: Placement = Field(description="where batch normalization stands")
    bn_eps: float = Field(gt=0, le=0.1, description="added to the variance")
    bn_momentum: float = Field(gt=0, le=1, description="weight of the new batch (PyTorch's way)")

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch axis."""
