import pytest
import torch
from torch import nn
from torch.nn import functional

from training.study.layers import observe


def network() -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    second = nn.Sequential(nn.Conv2d(3, 2, 2), nn.BatchNorm2d(2), nn.ReLU())
    return nn.Sequential(first, second, nn.Flatten(), nn.Linear(2, 2))


def test_each_layer_is_what_reaches_its_activation_and_the_norm_of_its_gradient() -> None:
    model, inputs, targets = network(), torch.randn(8, 1, 4, 4), torch.arange(8) % 2
    first, second = observe(model, inputs, targets)

    reached = model[0][0](inputs).detach()  # type: ignore[index]  # a sequence in a sequence
    assert first.mean == pytest.approx(float(reached.mean()), rel=1e-5)
    assert first.std == pytest.approx(float(reached.std()), rel=1e-5)
    # What a batch norm has normalized; eps and n - 1 in place of n are the rest.
    assert second.mean == pytest.approx(0, abs=1e-6)
    assert second.std == pytest.approx(1, rel=0.1)

    functional.cross_entropy(model(inputs), targets).backward()  # type: ignore[no-untyped-call]
    norms = [float(model[i][0].weight.grad.norm()) for i in (0, 1)]  # type: ignore[index]
    assert [first.gradient, second.gradient] == pytest.approx(norms, rel=1e-5)


def test_the_model_is_left_as_it_is() -> None:
    model = network().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    observe(model, torch.randn(8, 1, 4, 4), torch.zeros(8, dtype=torch.long))

    assert not model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
