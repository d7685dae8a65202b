"""The article's network in real Keras and ours give the same numbers from the same weights."""

import os
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.models import build
from training.models.keras_style_2d import KerasStyle2d

pytestmark = [
    pytest.mark.slow,
    # Keras's own Variable.numpy() under numpy 2
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def in_keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="the extra 'keras' is not installed")
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )
    generator = np.random.default_rng(0)
    for layer in model.layers:  # none of BN's four tensors may be where it started
        layer.set_weights([_unlike(weight, generator) for weight in layer.get_weights()])
    return model


def _unlike(weight: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    if weight.ndim > 1:
        return weight
    return generator.uniform(0.5, 1.5, weight.shape).astype(np.float32)


def _ours(in_keras: Any) -> nn.Module:
    """Copy the weights: kernels HWIO to OIHW, dense rows from channel-minor to channel-major."""
    model = build("keras_style_2d").eval()
    network = model.network
    assert isinstance(network, KerasStyle2d)
    weights = [[torch.from_numpy(w) for w in layer.get_weights()] for layer in in_keras.layers]
    first, first_bn, _, second, second_bn, _, _, hidden, classifier = weights
    for index, (kernel, norm) in ((0, (first, first_bn)), (2, (second, second_bn))):
        stage: Any = network.features[index]
        _copy(stage.conv, kernel[0].permute(3, 2, 0, 1), kernel[1])
        _copy(stage.bn, norm[0], norm[1])
        stage.bn.running_mean.copy_(norm[2])
        stage.bn.running_var.copy_(norm[3])
    rows = hidden[0].view(6, 6, 64, 64).permute(2, 0, 1, 3).reshape(64 * 6 * 6, 64)
    _copy(network.hidden, rows.T, hidden[1])
    _copy(network.classifier, classifier[0].T, classifier[1])
    return model


@torch.no_grad()
def _copy(module: Any, weight: Tensor, bias: Tensor) -> None:
    module.weight.copy_(weight)
    module.bias.copy_(bias)


def _difference(model: nn.Module, in_keras: Any) -> float:
    images = np.random.default_rng(1).uniform(-1, 1, (8, 32, 32, 3)).astype(np.float32)
    theirs = np.asarray(in_keras.predict(images, verbose=0))
    with torch.no_grad():
        ours = model(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


# float32 sums of up to 2304 products in another order: some 1e-7 each
_TOLERANCE = 1e-5


def test_the_keras_style_network_computes_what_keras_computes(in_keras: Any) -> None:
    assert _difference(_ours(in_keras), in_keras) < _TOLERANCE


def test_with_pytorch_s_own_eps_it_would_not(in_keras: Any) -> None:
    model = _ours(in_keras)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-5

    assert _difference(model, in_keras) > _TOLERANCE


def test_keras_momentum_is_the_complement_of_bn_momentum(in_keras: Any) -> None:
    theirs = in_keras.layers[1]
    ours = nn.BatchNorm2d(32, eps=theirs.epsilon, momentum=1 - theirs.momentum)
    ours.running_mean = torch.from_numpy(theirs.get_weights()[2])
    batch = np.random.default_rng(2).normal(5, 1, (4, 6, 6, 32)).astype(np.float32)

    theirs(batch, training=True)
    ours(torch.from_numpy(batch).permute(0, 3, 1, 2))

    assert ours.running_mean is not None
    # float32 means of 144 numbers near 5
    np.testing.assert_allclose(ours.running_mean.numpy(), theirs.get_weights()[2], rtol=1e-5)
    (momentum, _) = [
        m.momentum for m in build("keras_style_2d").modules() if isinstance(m, nn.BatchNorm2d)
    ]
    assert momentum == pytest.approx(1 - theirs.momentum)
