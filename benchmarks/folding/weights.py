"""Random weights that make an error visible, for graphs that come without trained ones.

Kernels are drawn as He et al. 2015 do, so that activations neither vanish nor explode, and the
statistics of every batch norm are those of its input on random data. One gamma in ten is negative,
as it happens in trained networks: what holds only for positive ones is then found out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]  # the wheel has no types
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from benchmarks.folding.inputs import images

Array = NDArray[Any]

NEGATIVE_GAMMAS = 0.1
CALIBRATION_BATCH = 8  # behind a global pooling a sample is one number
REDUCE_AXES_ARE_INPUT_SINCE_OPSET = 18
# How far the running statistics lie from those of the calibration data, as fractions of the
# standard deviation and the variance: in training they are averages over other batches.
MEAN_DRIFT, VARIANCE_DRIFT = 0.1, 0.2
# No standard deviation below this fraction of its mean: subtracting the mean would cancel all
# digits but a few, and the unfolded float32 network would be noise itself.
SMALLEST_DEVIATION = 0.1


def he_normal(shape: tuple[int, ...], fan_in: int, rng: np.random.Generator) -> Array:
    """A kernel that keeps the variance of activations through a ReLU."""
    return rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)


def gamma(channels: int, rng: np.random.Generator, negative: float = NEGATIVE_GAMMAS) -> Array:
    """Scales between a half and three halves, some of them negative; shape (channels,)."""
    sign = np.where(rng.random(channels) < negative, -1.0, 1.0)
    return (rng.uniform(0.5, 1.5, channels) * sign).astype(np.float32)


def beta(channels: int, rng: np.random.Generator) -> Array:
    """Shifts of either sign, shape (channels,)."""
    return rng.normal(0, 0.2, channels).astype(np.float32)


def calibrate(model: onnx.ModelProto, rng: np.random.Generator) -> None:
    """Give every batch norm the statistics of its input on random data, in place.

    All are found in one run: each batch norm normalises with what was measured of its own input,
    so that the next one sees what it will see later.

    Args:
        model: Its shapes are inferred, and its batch norms have initializers for running mean and
            variance.
        rng: Draws inputs and drift.
    """
    if not any(batch_norms(model)):
        return
    statistics = _measured(model, _inputs(model, rng))
    arrays = {one.name: one for one in model.graph.initializer}
    for node in batch_norms(model):
        for name, array in zip(node.input[3:5], statistics[node.output[0]], strict=True):
            arrays[name].CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))
    _drift(model, arrays, rng)


def batch_norms(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """The batch norms of the main graph."""
    return (node for node in model.graph.node if node.op_type == "BatchNormalization")


def _drift(
    model: onnx.ModelProto, arrays: Mapping[str, onnx.TensorProto], rng: np.random.Generator
) -> None:
    for node in batch_norms(model):
        mean, variance = (numpy_helper.to_array(arrays[name]) for name in node.input[3:5])
        drifted = mean + MEAN_DRIFT * np.sqrt(variance) * rng.normal(size=mean.shape)
        scaled = variance * rng.uniform(1 - VARIANCE_DRIFT, 1 + VARIANCE_DRIFT, mean.shape)
        scaled = np.maximum(scaled, np.square(SMALLEST_DEVIATION * mean))
        for name, array in zip(node.input[3:5], (drifted, scaled), strict=True):
            arrays[name].CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))


def _inputs(model: onnx.ModelProto, rng: np.random.Generator) -> dict[str, Array]:
    known = {one.name for one in model.graph.initializer}
    return {
        one.name: images(_sizes(one), rng).astype(helper.tensor_dtype_to_np_dtype(_type(one)))
        for one in model.graph.input
        if one.name not in known
    }


def _type(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _sizes(value: onnx.ValueInfoProto) -> list[int]:
    dims = value.type.tensor_type.shape.dim
    return [CALIBRATION_BATCH, *(dim.dim_value for dim in dims[1:])]


def _measured(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
    """Mean and variance of every batch norm's input, by the name of its output."""
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    _free_batch(twin)
    names = _measure_in_graph(twin, _ranks(model))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is fatal is raised besides
    session = onnxruntime.InferenceSession(twin.SerializeToString(), options)
    wanted = [name for pair in names.values() for name in pair]
    found = dict(zip(wanted, session.run(wanted, dict(feeds)), strict=True))
    return {output: (found[mean], found[var]) for output, (mean, var) in names.items()}


def _free_batch(model: onnx.ModelProto) -> None:
    """Let a model that is fixed to one sample take several."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]  # they hold the one
    targets = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    for tensor in model.graph.initializer:
        if tensor.name in targets:
            sizes = numpy_helper.to_array(tensor).copy()
            sizes[:1][sizes[:1] == 1] = 0  # which says: as it is
            tensor.CopyFrom(numpy_helper.from_array(sizes, tensor.name))


def _measure_in_graph(
    model: onnx.ModelProto, ranks: Mapping[str, int]
) -> dict[str, tuple[str, str]]:
    """Make every batch norm compute its statistics itself, and put them out."""
    opset = max(one.version for one in model.opset_import if one.domain in {"", "ai.onnx"})
    nodes, names = [], {}
    for index, node in enumerate(list(model.graph.node)):
        if node.op_type == "BatchNormalization":
            mean, variance = f"calibrated_mean_{index}", f"calibrated_variance_{index}"
            nodes += _statistics(node.input[0], mean, variance, opset, ranks[node.input[0]])
            node.input[3], node.input[4] = mean, variance
            names[node.output[0]] = (mean, variance)
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    outputs = [name for pair in names.values() for name in pair]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in outputs)
    return names


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    values = [*model.graph.input, *model.graph.value_info]
    return {one.name: len(one.type.tensor_type.shape.dim) for one in values}


def _statistics(
    source: str, mean: str, variance: str, opset: int, rank: int
) -> list[onnx.NodeProto]:
    """Nodes for the mean of every channel and for E[(x - mean)^2]."""
    axes = [axis for axis in range(rank) if axis != 1]
    centred, squares, kept = f"{mean}_centred", f"{mean}_squares", f"{mean}_kept"
    return [
        *_reduce(source, kept, axes, opset, keepdims=1),
        *_reduce(source, mean, axes, opset, keepdims=0),
        helper.make_node("Sub", [source, kept], [centred]),
        helper.make_node("Mul", [centred, centred], [squares]),
        *_reduce(squares, variance, axes, opset, keepdims=0),
    ]


def _reduce(
    source: str, output: str, axes: list[int], opset: int, keepdims: int
) -> list[onnx.NodeProto]:
    if opset < REDUCE_AXES_ARE_INPUT_SINCE_OPSET:
        return [helper.make_node("ReduceMean", [source], [output], axes=axes, keepdims=keepdims)]
    constant = numpy_helper.from_array(np.array(axes, np.int64))
    return [
        helper.make_node("Constant", [], [f"{output}_axes"], value=constant),
        helper.make_node("ReduceMean", [source, f"{output}_axes"], [output], keepdims=keepdims),
    ]
