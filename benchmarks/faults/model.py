"""The network that every server has: slow enough to queue for, and one input makes its run fail.

A convolutional network of some 20 ms a row, and an embedding that the first pixel chooses, as the
number of a user or an article would. A number that the table does not have fails the run of all
rows that are with it, and ONNX Runtime does not say whose it was.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.serving.models import ServedModel, described

NAME = "fragile"
SIDE = 8  # pixels: a request is small, so that it is the run that costs
LARGER = 8  # times, before the convolutions
CHANNELS = 32
# Each costs about 0.6 ms a row on one core: a row costs some 20 ms, in a batch as alone.
CONVOLUTIONS = 32
CLASSES = 10
ENTRIES = 256  # of the embedding: every value of a pixel
POISON = 1e6  # as a pixel: the embedding has no such entry
OPSET = helper.make_opsetid("", 17)
IR_VERSION = 9  # that the oldest ONNX Runtime that the service takes reads

Array = npt.NDArray[np.float32]


def provide(folder: Path) -> ServedModel:
    """The network in a model repository of its own, made where it is missing."""
    repository = folder.resolve() / NAME
    path = repository / NAME / "1" / "model.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(network(), path)
    return described(NAME, repository)


def poisoned(tensor: Array) -> Array:
    """An input (1, 8, 8) that makes its run fail."""
    wrong = tensor.copy()
    wrong[0, 0, 0] = POISON
    return wrong


def network(convolutions: int = CONVOLUTIONS) -> onnx.ModelProto:
    """The network: (N, 1, 8, 8) of pixels from 0 to 255 to (N, 10).

    Args:
        convolutions: how many; a run takes as much longer.
    """
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        fan_in = np.prod(shape[1:], dtype=int)  # so that numbers neither grow nor vanish
        return _constant(name, random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32))

    enlarge = weight("enlarge", 1, CHANNELS, LARGER, LARGER)
    layers = [weight(f"w{i}", CHANNELS, CHANNELS, 3, 3) for i in range(convolutions)]
    constants = [enlarge, *layers, weight("head", CLASSES, CHANNELS)]
    constants += [weight("table", ENTRIES, CLASSES), _constant("first", np.array(0))]
    graph = helper.make_graph(
        [*_convolutions(convolutions), *_embedding()],
        NAME,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[OPSET], ir_version=IR_VERSION)


def _convolutions(count: int) -> list[onnx.NodeProto]:
    nodes = [helper.make_node("ConvTranspose", ["x", "enlarge"], ["y0"], strides=[LARGER] * 2)]
    for i in range(count):
        nodes.append(helper.make_node("Conv", [f"y{i}", f"w{i}"], [f"c{i}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"y{i + 1}"]))
    return [
        *nodes,
        helper.make_node("GlobalAveragePool", [f"y{count}"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "head"], ["seen"], transB=1),
    ]


def _embedding() -> list[onnx.NodeProto]:
    return [
        helper.make_node("Flatten", ["x"], ["pixels"]),
        helper.make_node("Gather", ["pixels", "first"], ["pixel"], axis=1),
        helper.make_node("Cast", ["pixel"], ["entry"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "entry"], ["known"]),
        helper.make_node("Add", ["seen", "known"], ["logits"]),
    ]


def _constant(name: str, array: npt.NDArray[np.generic]) -> onnx.TensorProto:
    return numpy_helper.from_array(array, name)
