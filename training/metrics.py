"""Loss, accuracy and confusion of a model on a set of samples."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.batches import Batches


@dataclass(frozen=True)
class Measured:
    """What an evaluation found.

    Attributes:
        loss: Mean cross entropy in nats, without label smoothing.
        accuracy: Share of samples whose largest logit is the target's.
        confusion: Counts, (classes, classes): rows are targets, columns predictions.
    """

    loss: float
    accuracy: float
    confusion: NDArray[np.int64]

    @property
    def samples(self) -> int:
        """How many were looked at."""
        return int(self.confusion.sum())


@torch.no_grad()
def evaluate(model: nn.Module, batches: Batches) -> Measured:
    """Run a model over all samples, in eval mode and in order; its mode is given back."""
    was_training = model.training
    model.eval()
    outputs = [(model(inputs), targets) for inputs, targets in batches.in_order()]
    model.train(was_training)
    logits = torch.cat([logits for logits, _ in outputs])
    return measure(logits, torch.cat([targets for _, targets in outputs]))


def measure(logits: Tensor, targets: Tensor) -> Measured:
    """Compare logits (N, classes) with targets (N,)."""
    predictions, classes = logits.argmax(dim=1), logits.shape[1]
    counts = torch.bincount(targets * classes + predictions, minlength=classes**2)
    return Measured(
        # float64: a sum over 10,000 samples keeps its digits
        loss=float(functional.cross_entropy(logits.double(), targets)),
        accuracy=float((predictions == targets).double().mean()),
        confusion=counts.view(classes, classes).cpu().numpy(),
    )
