import math

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from training.models import build as build_model
from training.optim import OptimizerConfig, build, parameter_groups
from training.schedule import ScheduleConfig, rate


def names_in(model: nn.Module, group: dict[str, object]) -> set[str]:
    parameters = group["params"]
    assert isinstance(parameters, list)
    return {n for n, p in model.named_parameters() if any(p is other for other in parameters)}


@pytest.mark.parametrize("name", ["residual", "keras_style_2d", "cnn1d", "cnn2d"])
def test_batch_norm_and_biases_do_not_decay_and_kernels_do(name: str) -> None:
    model = build_model(name)
    exempt = {
        f"{prefix}.{kind}"
        for prefix, module in model.named_modules()
        for kind, _ in module.named_parameters(recurse=False)
        if kind == "bias" or isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    }

    decayed, spared = parameter_groups(model, 0.05)

    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    assert names_in(model, spared) == exempt
    assert names_in(model, decayed) == {n for n, _ in model.named_parameters()} - exempt


def test_a_frozen_parameter_is_in_no_group() -> None:
    model = build_model("cnn1d")
    next(model.parameters()).requires_grad = False

    assert sum(len(names_in(model, group)) for group in parameter_groups(model, 0.1)) == 9


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (OptimizerConfig(name="sgd", learning_rate=0.1), torch.optim.SGD),
        (OptimizerConfig(name="sgd", learning_rate=0.1, momentum=0), torch.optim.SGD),
        (OptimizerConfig(name="adamw", learning_rate=0.1), torch.optim.AdamW),
    ],
)
def test_the_configured_optimizer_is_built(config: OptimizerConfig, kind: type) -> None:
    optimizer = build(config, build_model("cnn1d"))

    assert isinstance(optimizer, kind)
    assert optimizer.defaults.get("nesterov", False) == (
        config.name == "sgd" and config.momentum > 0
    )


def test_one_cycle_is_the_one_of_torch() -> None:
    steps = 40
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    reference = OneCycleLR(
        optimizer, max_lr=1.0, total_steps=steps, pct_start=0.25, cycle_momentum=False
    )
    theirs = []
    for _ in range(steps):
        theirs.append(reference.get_last_lr()[0])
        optimizer.step()
        if len(theirs) < steps:
            reference.step()

    ours = [rate(ScheduleConfig(warm_up=0.25), step, steps) for step in range(steps)]

    assert ours == pytest.approx(theirs, rel=1e-9)  # the same formula in float64
    assert ours != pytest.approx(
        [rate(ScheduleConfig(warm_up=0.3), s, steps) for s in range(steps)]
    )


def test_cosine_rises_in_a_line_and_falls_in_half_a_wave() -> None:
    config = ScheduleConfig(name="cosine", warm_up=0.2)

    rates = [rate(config, step, 101) for step in range(101)]

    assert rates[10] == pytest.approx(10 / 20.2)
    assert max(rates) == pytest.approx(1, abs=1e-3)  # the top lies between two steps
    middle = (60.6 - 20.2) / (100 - 20.2)
    assert rates[60] == pytest.approx((1 + math.cos(math.pi * middle)) / 2, abs=0.02)


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
@pytest.mark.parametrize("warm_up", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("steps", [1, 2, 3, 1000])
def test_every_rate_is_positive_and_at_most_one(name: str, warm_up: float, steps: int) -> None:
    config = ScheduleConfig.model_validate({"name": name, "warm_up": warm_up})

    assert all(0 < rate(config, step, steps) <= 1 for step in range(steps))
