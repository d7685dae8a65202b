"""Which statistics normalize a batch at inference, and what that costs."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from training.batches import Batches
from training.datasets import Samples
from training.loop import estimate_population_statistics
from training.metrics import evaluate


def accuracies(
    model: nn.Module, train: Batches, test: Samples, sizes: Sequence[int]
) -> dict[str, float]:
    """Accuracy of one trained network by the statistics that normalize.

    Args:
        model: Trained; it is left as it is.
        train: What the population's statistics are estimated from.
        test: What is classified.
        sizes: Of the batches that are normalized by their own statistics.

    Returns:
        ``running`` (moving averages of the training), ``population`` (means over the training
        set for the last weights, as in the paper's algorithm 2) and ``batch N``.
    """
    device = next(model.parameters()).device
    whole = Batches(test, 512, device)  # the size does not matter to fixed statistics
    found = {"running": evaluate(model, whole).accuracy}
    estimated = copy.deepcopy(model)
    estimate_population_statistics(estimated, train)
    found["population"] = evaluate(estimated, whole).accuracy
    for size in sizes:
        found[f"batch {size}"] = _by_own_statistics(model, Batches(test, size, device))
    return found


@torch.no_grad()
def _by_own_statistics(model: nn.Module, batches: Batches) -> float:
    model = copy.deepcopy(model).eval()
    for each in model.modules():
        if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d):
            each.train()
    right = total = 0
    for inputs, targets in batches.in_order():
        right += int((model(inputs).argmax(dim=1) == targets).sum())
        total += len(targets)
    return right / total
