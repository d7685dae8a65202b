"""What a graph takes, and images for networks that want their channels last."""

import numpy as np
import onnx_ir as ir
import pytest

from export import runtime
from export.errors import UsageError
from export.sources.inputs import described
from export.sources.layout import is_channels_last
from export.sources.options import SourceOptions
from export.sources.original import Feeds, ImageInput, TensorInput
from tests.export.graphs import Array, model, normal

PICTURE = normal(2, 3, 4, 5, dtype=np.float32)
# One product and one sum in float32.
FLOAT32 = 1e-6


def channels_last() -> ir.Model:
    """Takes (n, 4, 5, 3) and adds one to each channel its own."""
    steps = {"step": np.array([1, 2, 3], np.float32)}
    shape = "float[n,4,5,3]"
    return ir.from_proto(
        model("y = Add(x, step)", steps, inputs=f"{shape} x", outputs=f"{shape} y")
    )


def added(feeds: Feeds) -> list[Array]:
    return [feeds["x"].astype(np.float64) + np.array([1, 2, 3])]


def run(graph: ir.Model, picture: Array) -> Array:
    data = ir.to_proto(graph).SerializeToString()
    return runtime.load(data, optimized=False)({"x": picture})[0]


def test_without_an_option_of_images_nothing_changes() -> None:
    graph = channels_last()

    description, reference = described(graph, SourceOptions(), added)

    assert description == TensorInput((4, 5, 3))
    assert reference is added
    assert [node.op_type for node in graph.graph] == ["Add"]


def test_an_image_is_taken_channels_first_whatever_the_network_wants() -> None:
    graph = channels_last()

    description, reference = described(graph, SourceOptions(color="RGB"), added)

    assert description == ImageInput("RGB", 3, 4, 5)
    assert str(graph.graph.inputs[0].shape) == "[n,3,4,5]"
    expected = PICTURE.transpose(0, 2, 3, 1) + np.array([1, 2, 3])
    assert np.array_equal(run(graph, PICTURE), expected.astype(np.float32))
    assert reference is not None
    assert np.array_equal(reference({"x": PICTURE})[0], expected)


def test_pixels_are_normalized_before_they_are_turned() -> None:
    graph = channels_last()
    options = SourceOptions(mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.25))

    _, reference = described(graph, options, added)

    assert reference is not None
    expected = reference({"x": PICTURE})[0]
    pixels = PICTURE.astype(np.float64) / 255
    mean, std = np.reshape([[0.1, 0.2, 0.3], [0.5, 0.5, 0.25]], (2, 3, 1, 1))
    last = ((pixels - mean) / std).transpose(0, 2, 3, 1)
    assert np.allclose(expected, last + np.array([1, 2, 3]), rtol=1e-12)
    assert np.abs(run(graph, PICTURE) - expected).max() <= FLOAT32 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("shape", "last"),
    [((28, 28, 1), True), ((224, 224, 3), True), ((3, 224, 224), False), ((3, 5, 3), False)],
)
def test_channels_first_is_taken_for_what_it_may_be(shape: tuple[int, ...], last: bool) -> None:
    assert is_channels_last(shape) is last


def test_what_is_neither_layout_is_no_image() -> None:
    assert not is_channels_last((8, 8, 4))
    assert not is_channels_last((28, 28))
    assert not is_channels_last(None)


def test_an_image_needs_a_model_of_one_input() -> None:
    body = "y = Add(a, b)"
    two = model(body, {}, inputs="float[n,4,5,3] a, float[n,4,5,3] b", outputs="float[n,4,5,3] y")
    options = SourceOptions(color="RGB", input_shape=(4, 5, 3))

    with pytest.raises(UsageError, match="--input: the model has 2 inputs"):
        described(ir.from_proto(two), options)
