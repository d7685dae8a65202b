"""ONNX's own `light_*` networks, with weights that make an error visible.

They come inside the `onnx` wheel with their weights as constant fills, and end in a softmax: with
equal weights every channel is alike, and a softmax over a thousand equal logits hides any error.
Here they get random weights (`weights`) and put out their logits.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from benchmarks.folding.weights import Array, beta, calibrate, gamma, he_normal

IR_VERSION = 8  # from 4 on an initializer need not be an input, and then it is a constant
SEED = 20
FILLS = "ConstantOfShape"


def names() -> list[str]:
    """The networks that the installed `onnx` has, without their prefix ``light_``."""
    return sorted(path.stem.removeprefix("light_") for path in _folder().glob("light_*.onnx"))


def light(name: str, seed: int = SEED) -> onnx.ModelProto:
    """One of the networks, with random weights, putting out its logits.

    Args:
        name: As in `names`.
        seed: Of its weights.

    Raises:
        FileNotFoundError: There is no such network.
    """
    model = onnx.load(_folder() / f"light_{name}.onnx")
    rng = np.random.default_rng(seed)
    model.ir_version = IR_VERSION
    _inputs_alone(model)
    shapes = _filled(model)
    _draw(model, shapes, rng)
    _end_at_logits(model)
    model = shape_inference.infer_shapes(model)
    calibrate(model, rng)
    onnx.checker.check_model(model, full_check=True)
    return model


def _folder() -> Path:
    return Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"


def _inputs_alone(model: onnx.ModelProto) -> None:
    """Initializers are no inputs any more: nobody overrides them."""
    held = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in held]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _filled(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Take the constant fills out of the graph; return the shapes that they had."""
    arrays = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    fills = [node for node in model.graph.node if node.op_type == FILLS]
    shapes = {node.output[0]: tuple(int(size) for size in arrays[node.input[0]]) for node in fills}
    read_by_fills = {node.input[0] for node in fills}
    nodes = [node for node in model.graph.node if node.op_type != FILLS]
    kept = [one for one in model.graph.initializer if one.name not in read_by_fills]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(kept)
    return shapes


def _draw(
    model: onnx.ModelProto, shapes: dict[str, tuple[int, ...]], rng: np.random.Generator
) -> None:
    """Give every value that was a fill random numbers, after what reads it."""
    scaled = {node.input[0] for node in model.graph.node if node.op_type == "Mul"}
    drawn: dict[str, Array] = {}
    for node in model.graph.node:
        # Caffe's batch norm is followed by the scales and shifts that were learnt.
        negative = 0.0 if node.output[0] in scaled else None
        for index, name in enumerate(node.input):
            if name in shapes and name not in drawn:
                drawn[name] = _weight(node, index, shapes[name], negative, rng)
    _follow_unsqueezed(model, shapes, drawn, rng)
    model.graph.initializer.extend(
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in drawn.items()
    )


def _weight(
    node: onnx.NodeProto,
    index: int,
    shape: tuple[int, ...],
    negative: float | None,
    rng: np.random.Generator,
) -> Array:
    if node.op_type == "BatchNormalization" and index == 1:
        return gamma(shape[0], rng) if negative is None else gamma(shape[0], rng, negative)
    if node.op_type in {"Conv", "Gemm"} and index == 1:
        return he_normal(shape, int(np.prod(shape[1:])), rng)
    if node.op_type == "BatchNormalization" and index == 4:
        return np.ones(shape)  # until it is calibrated
    return beta(int(np.prod(shape)), rng).reshape(shape)


def _follow_unsqueezed(
    model: onnx.ModelProto,
    shapes: dict[str, tuple[int, ...]],
    drawn: dict[str, Array],
    rng: np.random.Generator,
) -> None:
    """Scales that reach a Mul through an Unsqueeze are gammas."""
    readers = {name: node for node in model.graph.node for name in node.input}
    draw: Callable[[int, np.random.Generator], Array]
    for node in model.graph.node:
        if node.op_type == "Unsqueeze" and node.input[0] in shapes:
            draw = gamma if _reaches(readers, node.output[0]) == "Mul" else beta
            drawn[node.input[0]] = draw(shapes[node.input[0]][0], rng)


def _reaches(readers: dict[str, onnx.NodeProto], name: str) -> str:
    """The operator that reads a value, behind any Unsqueeze."""
    node = readers[name]
    while node.op_type == "Unsqueeze":
        node = readers[node.output[0]]
    return node.op_type


def _end_at_logits(model: onnx.ModelProto) -> None:
    last = model.graph.node[-1]
    if last.op_type != "Softmax":
        return
    output = model.graph.output[0]
    dims = [dim.dim_value for dim in output.type.tensor_type.shape.dim]
    model.graph.node.remove(last)
    logits = helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, dims)
    output.CopyFrom(logits)
