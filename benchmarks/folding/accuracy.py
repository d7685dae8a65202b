"""How far a model is from the unfolded one evaluated in float64."""

from collections.abc import Mapping, Sequence
from itertools import starmap
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]  # the wheel has no types
from numpy.typing import NDArray

from benchmarks.folding.inputs import images
from benchmarks.folding.quick_reference import evaluate

Feeds = Mapping[str, NDArray[Any]]
Outputs = Sequence[NDArray[Any]]
SEED = 7
# A rounding error grows where an activation happens to lie at a kink or a division near zero: that
# is one input's luck, with the folded model or with the unfolded one.
SAMPLES = 4
SMALLEST = 1e-12  # relative error; below it there is nothing to compare
DTYPES = {onnx.TensorProto.FLOAT: np.float32, onnx.TensorProto.FLOAT16: np.float16}


def samples(model: onnx.ModelProto) -> list[dict[str, NDArray[Any]]]:
    """Several inputs, one sample each."""
    return [draw(model, seed=SEED + number) for number in range(SAMPLES)]


def draw(model: onnx.ModelProto, batch: int = 1, seed: int = SEED) -> dict[str, NDArray[Any]]:
    """Random inputs for a model; a free dimension is the batch."""
    rng = np.random.default_rng(seed)
    held = {one.name for one in model.graph.initializer}
    return {
        one.name: images(_sizes(one, batch), rng).astype(DTYPES[one.type.tensor_type.elem_type])
        for one in model.graph.input
        if one.name not in held
    }


def exact(model: onnx.ModelProto, feeds: Feeds) -> list[NDArray[Any]]:
    """What a model puts out when every float is a float64."""
    return evaluate(model, feeds)


def session(path: Path, *, optimized: bool) -> onnxruntime.InferenceSession:
    """A model in ONNX Runtime on one thread, with all of its optimizations or none."""
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is fatal is raised besides
    level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def error(path: Path, feeds: Sequence[Feeds], expected: Sequence[Outputs]) -> float:
    """The typical error of a model's outputs, as ONNX Runtime computes them.

    It changes nothing in the graph, so that the error is the tool's alone.

    Args:
        path: The model.
        feeds: Several inputs.
        expected: The outputs of each.

    Returns:
        The geometric mean of `relative` over the inputs.
    """
    run = session(path, optimized=False).run
    errors = [
        relative(exact, run(None, dict(one))) for one, exact in zip(feeds, expected, strict=True)
    ]
    return geometric_mean([max(one, SMALLEST) for one in errors])


def relative(expected: Outputs, actual: Outputs) -> float:
    """The worst output's ``|y - expected| / |expected|``, in the Euclidean norm.

    Two models are told apart by less than a factor of two: the largest error of some thousand
    numbers is too much of a lottery for that, their root mean square is not.
    """
    return max(starmap(_relative_one, zip(expected, actual, strict=True)))


def _relative_one(expected: NDArray[Any], actual: NDArray[Any]) -> float:
    wanted = expected.astype(np.float64)
    difference = float(np.linalg.norm(actual.astype(np.float64) - wanted))
    scale = float(np.linalg.norm(wanted))
    return difference / scale if scale else float(np.inf if difference else 0.0)


def _sizes(value: onnx.ValueInfoProto, batch: int) -> list[int]:
    return [dim.dim_value or batch for dim in value.type.tensor_type.shape.dim]
