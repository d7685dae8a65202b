"""Optimizers, with weight decay only where it regularizes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import nn, optim


class OptimizerConfig(BaseModel):
    """SGD with Nesterov momentum, or AdamW."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(gt=0, le=10, description="at the top of the schedule")
    weight_decay: float = Field(default=5e-4, ge=0, le=1)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of SGD; AdamW's first beta")


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Kernels decay; biases and the gamma and beta of batch norm do not.

    A decaying gamma only changes the effective learning rate of the convolution before it, and a
    decaying bias only pulls the mean away (He et al., "Bag of Tricks", CVPR 2019). Both are
    vectors, kernels never are: that tells them apart.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def build(config: OptimizerConfig, model: nn.Module) -> optim.Optimizer:
    """Make the configured optimizer over a model's parameters."""
    groups = parameter_groups(model, config.weight_decay)
    if config.name == "sgd":
        # Nesterov's look-ahead needs a momentum to look along.
        nesterov = config.momentum > 0
        return optim.SGD(groups, config.learning_rate, config.momentum, nesterov=nesterov)
    return optim.AdamW(groups, config.learning_rate, betas=(config.momentum, 0.999))
