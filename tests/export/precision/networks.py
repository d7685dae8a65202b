"""Small float32 networks as graphs, with what they are made of, and numbers to feed them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from export import runtime
from export.sources.original import ImageInput, Original, Provenance, TensorInput
from tests.export.graphs import model, normal

Array = NDArray[Any]

IMAGE = "float[batch,3,8,8] x"
CLASSES = 4

CLASSIFIER = """
    c = Conv<pads = [1, 1, 1, 1]>(x, w, b)
    r = Relu(c)
    p = MaxPool<kernel_shape = [4, 4], strides = [4, 4]>(r)
    f = Flatten(p)
    y = Gemm(f, g, h)
"""


def weights(scale: float = 1.0) -> dict[str, Array]:
    """Of `CLASSIFIER`."""
    f32 = np.float32
    return {
        "w": normal(6, 3, 3, 3, dtype=f32) * f32(scale),
        "b": normal(6, seed=1, dtype=f32),
        "g": _centred(normal(24, CLASSES, seed=2, dtype=f32)),
        "h": normal(CLASSES, seed=3, dtype=f32),
    }


def _centred(columns: Array) -> Array:
    """Without a mean, so that no class wins whatever the input is."""
    return np.asarray(columns - columns.mean(axis=0))


def graph(
    body: str = CLASSIFIER,
    arrays: Mapping[str, Array] | None = None,
    *,
    inputs: str = IMAGE,
    outputs: str = f"float[batch,{CLASSES}] y",
    opset: int = 17,
) -> ir.Model:
    """A network as the precision step gets it."""
    given = weights() if arrays is None else arrays
    return ir.from_proto(model(body, given, inputs=inputs, outputs=outputs, opset=opset))


def original(
    network: ir.Model, *, labels: tuple[str, ...] | None = None, image: bool = False, **more: Any
) -> Original:
    """What a reader would have made of it."""
    described = ImageInput("RGB", 3, 8, 8) if image else TensorInput((3, 8, 8))
    return Original(network, described, Provenance("onnx", "m.onnx"), labels=labels, **more)


def images(count: int, seed: int = 0, scale: float = 1.0) -> Array:
    """Inputs of `CLASSIFIER`, (count, 3, 8, 8)."""
    return normal(count, 3, 8, 8, seed=seed, dtype=np.float32) * np.float32(scale)


def run(network: ir.Model, feeds: Mapping[str, Array], *, optimized: bool = True) -> Array:
    """The first output under ONNX Runtime; the model is checked in full before."""
    proto = ir.to_proto(network)
    onnx.checker.check_model(proto, full_check=True)
    return runtime.load(proto.SerializeToString(), optimized=optimized)(feeds)[0]


def dtype(network: ir.Model, name: str) -> ir.DataType | None:
    """The type of an initializer."""
    return network.graph.initializers[name].dtype


def operators(network: ir.Model) -> list[str]:
    return [node.op_type for node in network.graph]
