"""Keras networks want their images channels last, and so do artifacts that take bytes."""

import warnings
from pathlib import Path
from typing import Any

import onnx
import pytest

from export import pipeline
from export.artifact import Place
from export.pipeline import Built, ParityOptions
from export.sources import keras_file
from export.sources.options import SourceOptions
from tests.export.graphs import op_types

# Keras 3.15 itself, where it builds and saves a model, under numpy 2.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.slow,
]


def network(folder: Path, padding: str) -> Path:
    """A network that normalizes channel by channel, its channels last, before a convolution."""
    keras: Any = keras_file.start()
    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12, 10, 3)),
            layers.Rescaling(1 / 255),
            layers.Normalization(mean=[0.5, 0.4, 0.3], variance=[0.04, 0.05, 0.06]),
            layers.Conv2D(4, 3, padding=padding, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    path = folder / "network.keras"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def built(folder: Path, padding: str) -> Built:
    return pipeline.build(
        str(network(folder, padding)),
        Place(folder, "network", 1),
        SourceOptions(color="RGB"),
        ParityOptions(samples=6),
        input_format="image-uint8",
    )


@pytest.mark.parametrize(
    ("padding", "operators"),
    [("same", ["Transpose", "Cast", "Add", "Conv"]), ("valid", ["Transpose", "Cast", "Conv"])],
)
def test_bytes_are_turned_once_and_normalized_channels_first(
    tmp_path: Path, padding: str, operators: list[str]
) -> None:
    artifact = built(tmp_path, padding)
    found = op_types(onnx.load(artifact.path))
    assert found[: len(operators)] == operators
    assert artifact.manifest["input"]["layout"] == "NHWC"
    assert artifact.manifest["parity"]["reference"] == "float64 Keras"
