"""The article's network, made in Keras, loses every batch norm and whatever was written as one."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from typer.testing import CliRunner

from export import runtime, sources, verify
from export.__main__ import app
from export.folding import fold
from export.sources.options import SourceOptions
from tests.export.keras_networks import (
    digits,
    exported,
    keras,
    saved,
    serialized,
    trained,
    with_negative_gammas,
)

# Keras 3.15 itself, where it builds, trains and saves a model, under numpy 2.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.slow,
]

LAYOUTS = ["channels_last", "channels_first"]
WRITERS = [saved, exported]
# What Keras writes a batch norm, a bias and a dense layer as, where nothing folds them.
GONE = {"BatchNormalization", "Mul", "Add", "Sub", "Div"}


def operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


def folded(model: Any, write: Any, folder: Path) -> Counter[str]:
    """The operators of what is left, held against the original first."""
    original = sources.read(str(write(model, folder)), SourceOptions())
    result = fold(original.model, mode="all")
    verify.check(verify.measure(original, serialized(result.model), samples=8))
    assert result.report.bn_after == result.report.affines_after == 0
    return operators(result.model)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("write", WRITERS)
def test_two_convolutions_and_two_dense_layers_are_left(
    layout: str, write: Any, tmp_path: Path
) -> None:
    model = trained(layout)
    assert all(
        (layer.get_weights()[0] > 0).all()
        for layer in model.layers
        if isinstance(layer, keras().layers.BatchNormalization)
    )

    left = folded(model, write, tmp_path)

    assert (left["Conv"], left["Gemm"]) == (2, 2)
    assert not GONE & left.keys()
    assert (left["Relu"], left["MaxPool"]) == (3, 2)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("write", WRITERS)
def test_a_negative_gamma_before_a_pool_costs_one_operator_a_batch_norm(
    layout: str, write: Any, tmp_path: Path
) -> None:
    """A maximum of what was multiplied by a negative number would be a minimum."""
    left = folded(with_negative_gammas(trained(layout)), write, tmp_path)

    assert left["Conv"] == 2
    assert left["Mul"] + max(left["Max"], left["Min"]) <= 2
    assert not {"BatchNormalization", "Add", "Sub", "Div"} & left.keys()


def test_the_command_builds_it_and_it_still_knows_its_digits(tmp_path: Path) -> None:
    source = saved(trained(), tmp_path)
    images, labels = digits()

    done = CliRunner().invoke(
        app, ["build", str(source), "--name", "article", "--output", str(tmp_path)]
    )

    assert done.exit_code == 0, done.output
    artifact = tmp_path / "article" / "1" / "model.onnx"
    run = runtime.load(artifact.read_bytes(), optimized=True)
    (logits,) = run({"image": images[1024:]})
    with keras().device("cpu"):
        expected = trained().predict(images[1024:], verbose=0)
    assert np.array_equal(logits.argmax(1), expected.argmax(1))
    # One pass over a thousand digits; a network that learned nothing is right one time in ten.
    assert (logits.argmax(1) == labels[1024:]).mean() > 0.6


def test_an_unfolded_model_would_not_pass(tmp_path: Path) -> None:
    original = sources.read(str(saved(trained(), tmp_path)), SourceOptions())

    assert GONE & operators(original.model).keys() == {"BatchNormalization", "Add"}
