from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from training.models import NAMES, ModelError, Normalize, build, parse


def kinds(module: nn.Module) -> list[str]:
    """Class names of all layers without children, in order."""
    return [type(layer).__name__ for layer in module.modules() if not list(layer.children())]


@pytest.mark.parametrize(
    ("name", "input_shape", "parameters"),
    [
        # Counted by hand: kernels, biases, gamma and beta.
        ("keras_style_2d", (3, 32, 32), 896 + 64 + 18496 + 128 + 64 * 6 * 6 * 64 + 64 + 650),
        ("cnn1d", (3, 28), 160 + 32 + 1568 + 64 + 32 * 28 * 10 + 10),
        ("cnn2d", (3, 28, 28), 448 + 32 + 4640 + 64 + 32 * 28 * 28 * 10 + 10),
    ],
)
def test_the_networks_of_the_article_have_its_shapes_by_default(
    name: str, input_shape: tuple[int, ...], parameters: int
) -> None:
    model = build(name)

    assert parse(name).input_shape == input_shape
    assert model(torch.zeros(2, *input_shape)).shape == (2, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_the_keras_style_network_normalizes_behind_the_activation() -> None:
    assert kinds(build("keras_style_2d").network)[:8] == [
        *("Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d"),
        *("Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d"),
    ]


def test_the_keras_style_network_has_the_eps_and_momentum_of_keras() -> None:
    norms = [m for m in build("keras_style_2d").modules() if isinstance(m, nn.BatchNorm2d)]

    assert [(norm.eps, norm.momentum) for norm in norms] == [(1e-3, 0.01)] * 2


@pytest.mark.parametrize(("name", "norm"), [("cnn1d", "BatchNorm1d"), ("cnn2d", "BatchNorm2d")])
def test_cnn1d_and_cnn2d_normalize_before_the_activation(name: str, norm: str) -> None:
    layers = kinds(build(name).network)

    assert [layer for layer in layers if layer in (norm, "ReLU")] == [norm, "ReLU"] * 2


@pytest.mark.parametrize("name", NAMES)
def test_without_batch_norm_no_network_has_one(name: str) -> None:
    model = build(name, {"batch_norm": "none"})

    assert not any("BatchNorm" in kind for kind in kinds(model))
    assert model(torch.zeros(2, *parse(name).input_shape)).shape == (2, 10)


@pytest.mark.parametrize("name", ["keras_style_2d", "cnn1d", "cnn2d"])
@pytest.mark.parametrize("placement", ["before", "after"])
def test_batch_norm_stands_where_the_parameter_says(name: str, placement: str) -> None:
    layers = kinds(build(name, {"batch_norm": placement}).network)
    norm, relu = (
        next(i for i, kind in enumerate(layers) if what in kind) for what in ("Norm", "ReLU")
    )

    assert (norm < relu) == (placement == "before")


def test_every_batch_norm_of_the_residual_network_directly_follows_a_convolution() -> None:
    model = build("residual", {"filters": [4, 8, 8], "blocks": [2, 1, 2]})
    layers = kinds(model)

    behind = [layers[i - 1] for i, kind in enumerate(layers) if kind == "BatchNorm2d"]
    assert behind == ["Conv2d"] * (1 + 2 * 5 + 1 + 1)  # stem, blocks, two projections


@pytest.mark.parametrize(
    ("name", "config", "input_shape", "classes"),
    [
        ("residual", {"channels": 3, "height": 33, "width": 20, "classes": 7}, (3, 33, 20), 7),
        ("residual", {"height": 8, "width": 8, "stem_pool": True}, (1, 8, 8), 10),
        ("cnn1d", {"channels": 1, "length": 40, "filters": [8, 8, 8], "stride": 2}, (1, 40), 10),
        ("cnn2d", {"height": 9, "width": 7, "kernel_size": 5, "stride": 3}, (3, 9, 7), 10),
        (
            "keras_style_2d",
            {"channels": 1, "height": 28, "width": 30, "dropout": 0.5},
            (1, 28, 30),
            10,
        ),
    ],
)
def test_parameters_make_the_networks_useful_beyond_the_article(
    name: str, config: Mapping[str, Any], input_shape: tuple[int, ...], classes: int
) -> None:
    assert parse(name, config).input_shape == input_shape
    assert build(name, config)(torch.zeros(3, *input_shape)).shape == (3, classes)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        (
            "transformer",
            {},
            "no such model: 'transformer'; there are keras_style_2d, cnn1d, cnn2d, residual",
        ),
        ("cnn1d", {"filters": []}, "cnn1d: filters: tuple should have at least 1 item"),
        (
            "cnn1d",
            {"classes": 1},
            "cnn1d: classes: input should be greater than or equal to 2 (got 1)",
        ),
        ("cnn1d", {"colour": 3}, "cnn1d: colour: no such key (got 3)"),
        ("cnn2d", {"kernel_size": 4}, "kernel_size must be odd to keep the extent (got 4)"),
        ("keras_style_2d", {"height": 9}, "nothing of a 9x32 input is left after 2 valid"),
        ("residual", {"batch_norm": "after"}, "batch_norm: input should be 'before' or 'none'"),
        ("residual", {"blocks": [1]}, "blocks has 1 entries and filters 3"),
        ("residual", {"blocks": [1, 0, 1]}, "every stage has 1 to 64 blocks (got [1, 0, 1])"),
        ("residual", {"height": 1, "stem_pool": True}, "1x28 image cannot be halved"),
    ],
)
def test_a_wrong_parameter_is_named_in_one_line(
    name: str, config: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ModelError) as caught:
        build(name, config)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_normalization_takes_raw_values_to_zero_mean_and_unit_deviation() -> None:
    raw = torch.rand(64, 2, 5, 5, dtype=torch.float64) * 255
    normalize = Normalize((2, 5, 5)).double()
    normalize.set_statistics(
        *(getattr(raw, name)(dim=(0, 2, 3)).tolist() for name in ("mean", "std"))
    )

    normalized = normalize(raw)

    # the statistics were stored as float32 on the way: seven digits
    assert normalized.mean(dim=(0, 2, 3)).abs().max() < 1e-6
    assert (normalized.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-6
    assert raw.mean(dim=(0, 2, 3)).abs().min() > 1  # the check can fail


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [([0.0], [1.0], "2 channels need"), ([0.0, 0.0], [1.0, 0.0], "must be positive")],
)
def test_normalization_refuses_statistics_that_cannot_be(
    mean: list[float], std: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Normalize((2, 5, 5)).set_statistics(mean, std)
