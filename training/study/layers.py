"""What reaches each activation of a network, and how large the gradients behind it are."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Layer:
    """One convolution and the activation behind it, for one batch.

    Attributes:
        mean: Of the values that reach the activation, over all channels.
        std: Their standard deviation.
        gradient: Euclidean norm of the gradient of the convolution's kernel.
    """

    mean: float
    std: float
    gradient: float


def observe(model: nn.Module, inputs: Tensor, targets: Tensor) -> list[Layer]:
    """Look at every layer for one batch in training mode; the model is left as it is.

    Args:
        model: Its convolutions and activations alternate, as in this project's plain networks.
        inputs: (N, ...).
        targets: (N,) int64.
    """
    model = copy.deepcopy(model).train()
    convolutions = [each for each in model.modules() if isinstance(each, nn.Conv1d | nn.Conv2d)]
    seen: list[tuple[float, float]] = []

    def look(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        values = arguments[0].detach().double()  # squares of large values keep their digits
        seen.append((float(values.mean()), float(values.std())))

    for each in model.modules():
        if isinstance(each, nn.ReLU):
            each.register_forward_pre_hook(look)
    loss = functional.cross_entropy(model(inputs), targets)
    gradients = torch.autograd.grad(loss, [each.weight for each in convolutions])
    norms = [float(torch.linalg.vector_norm(gradient.double())) for gradient in gradients]
    return [Layer(mean, std, norm) for (mean, std), norm in zip(seen, norms, strict=True)]
