import numpy as np
import torch
from torch import nn

from training.batches import Batches
from training.datasets import Samples
from training.study.inference import accuracies

CPU = torch.device("cpu")


def samples(inputs: list[float], targets: list[int]) -> Samples:
    images = np.array(inputs, np.float32)[:, None]
    return Samples(images, np.array(targets, np.int64))


class Sign(nn.Module):
    """Tells apart what is above the mean that its batch norm knows from what is below."""

    def __init__(self, mean: float) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(1)
        self.bn.running_mean = torch.tensor([mean])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        normalized = self.bn(inputs)
        return torch.cat([-normalized, normalized], dim=1)


def test_each_of_the_statistics_is_used() -> None:
    """The running mean is wrong, the population's is 10, and batches have their own."""
    train = Batches(samples([8.0, 12.0] * 4, [0, 1] * 4), 4, CPU)
    test = samples([9.0, 9.0, 11.0, 11.0, 11.0, 11.0, 11.0, 12.0], [0, 0, 1, 1, 1, 1, 1, 1])
    model = Sign(mean=100.0)
    found = accuracies(model, train, test, [4])

    assert found["running"] == 2 / 8  # all are below 100
    assert found["population"] == 1.0
    assert found["batch 4"] == 5 / 8  # of the second four, the mean is 11.25


def test_the_model_is_left_as_it_is() -> None:
    model = Sign(mean=100.0).train()
    accuracies(
        model, Batches(samples([1.0, 2.0], [0, 1]), 2, CPU), samples([1.0, 2.0], [0, 1]), [2]
    )

    assert model.training
    assert model.bn.running_mean == torch.tensor([100.0])
