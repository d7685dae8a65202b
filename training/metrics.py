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


@dataclass(frozen=True)
class Mistake:
    """A sample that was taken for another class.

    Attributes:
        index: Of the sample.
        actual: Its class.
        predicted: The one it was taken for.
        probability: That the model gave to it, by softmax.
    """

    index: int
    actual: int
    predicted: int
    probability: float


def evaluate(model: nn.Module, batches: Batches) -> Measured:
    """Run a model over all samples, and compare."""
    return measure(*answers(model, batches))


@torch.no_grad()
def answers(model: nn.Module, batches: Batches) -> tuple[Tensor, Tensor]:
    """Run a model over all samples, in eval mode and in order; its mode is given back.

    Returns:
        Logits, (N, classes), and targets, (N,).
    """
    was_training = model.training
    model.eval()
    outputs = [(model(inputs), targets) for inputs, targets in batches.in_order()]
    model.train(was_training)
    logits = torch.cat([logits for logits, _ in outputs])
    return logits, torch.cat([targets for _, targets in outputs])


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


def example_mistakes(logits: Tensor, targets: Tensor, most: int) -> list[Mistake]:
    """Return one mistake of each kind, the surest; the kinds that are most frequent come first.

    Args:
        logits: (N, classes).
        targets: (N,).
        most: Of them.
    """
    probabilities, predictions = logits.double().softmax(dim=1).max(dim=1)
    wrong = (predictions != targets).nonzero().flatten()
    surest_first = wrong[probabilities[wrong].argsort(descending=True, stable=True)].tolist()
    kinds: dict[tuple[int, int], list[int]] = {}
    for index in surest_first:
        kinds.setdefault((int(targets[index]), int(predictions[index])), []).append(index)
    frequent_first = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    return [
        Mistake(of[0], actual, predicted, float(probabilities[of[0]]))
        for (actual, predicted), of in frequent_first[:most]
    ]
