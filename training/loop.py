"""One epoch of training, and the statistics of batch norm after the last."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn, optim
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from training.augment import AugmentationConfig
from training.batches import Batches
from training.schedule import ScheduleConfig, rate

Precision = Literal["float32", "bfloat16"]
"""What convolutions and linear layers compute in; bfloat16 is PyTorch's automatic mixed precision.

For CPUs with AMX and GPUs with tensor cores, which are made for it; others gain nothing.
"""


@dataclass(frozen=True)
class Recipe:
    """What every step of a training needs to know."""

    learning_rate: float
    schedule: ScheduleConfig
    epochs: int
    label_smoothing: float
    augmentation: AugmentationConfig
    precision: Precision = "float32"


@dataclass(frozen=True)
class Learned:
    """Means over an epoch's steps, of the smoothed loss and on augmented samples."""

    loss: float
    accuracy: float
    learning_rate: float


class NotFiniteError(ArithmeticError):
    """The loss became infinite or NaN: the learning rate is too high for this network."""


def train_epoch(
    model: nn.Module,
    optimizer: optim.Optimizer,
    batches: Batches,
    recipe: Recipe,
    epoch: int,
    seed: int,
    on_step: Callable[[], None],
) -> Learned:
    """Fit a model to every batch of one epoch.

    Args:
        model: Taken as it is, left in training mode.
        optimizer: Its learning rate is set before every step.
        batches: The training samples.
        recipe: Schedule, smoothing, augmentation.
        epoch: From 0.
        seed: Order and augmentation of this epoch follow from it.
        on_step: Called after every step.

    Raises:
        NotFiniteError: If the loss is not a number any more.
    """
    model.train()
    mixed = recipe.precision == "bfloat16"
    loss_sum, correct, learning_rate = 0.0, 0, 0.0
    for step, (inputs, targets) in enumerate(batches.shuffled(recipe.augmentation, seed)):
        done = epoch * batches.steps + step
        learning_rate = recipe.learning_rate * rate(
            recipe.schedule, done, recipe.epochs * batches.steps
        )
        _set_learning_rate(optimizer, learning_rate)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=mixed):
            logits = model(inputs).float()
        loss = functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        optimizer.step()
        loss_sum += require_finite(loss.item(), epoch, learning_rate)
        correct += int((logits.argmax(dim=1) == targets).sum())
        on_step()
    count = batches.steps
    return Learned(loss_sum / count, correct / (count * batches.batch_size), learning_rate)


def estimate_population_statistics(model: nn.Module, batches: Batches) -> None:
    """Replace the moving averages of every batch norm by means over the training set.

    The averages that training leaves are of weights that have changed since, and of augmented
    samples. The order is fixed, so the result is too. Batches count alike, so they are alike: the
    few samples that fill no whole one are left out.
    """
    update_bn(batches.for_statistics(), model)
    model.eval()


def _set_learning_rate(optimizer: optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def require_finite(loss: float, epoch: int, learning_rate: float) -> float:
    """Give a loss back.

    Args:
        loss: Of a step, or of the validation samples.
        epoch: From 0.
        learning_rate: That led there.

    Raises:
        NotFiniteError: If it is infinite or NaN.
    """
    if not math.isfinite(loss):
        raise NotFiniteError(
            f"the loss is {loss} in epoch {epoch + 1};"
            f" optimizer.learning_rate is too high (now {learning_rate:.3g})"
        )
    return loss
