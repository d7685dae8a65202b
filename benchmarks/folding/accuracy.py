"""How far a model is from the unfolded one evaluated in float64."""

from collections.abc import Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]  # the wheel has no types
from numpy.typing import NDArray

from benchmarks.folding.inputs import images
from benchmarks.folding.quick_reference import evaluate

Feeds = Mapping[str, NDArray[Any]]
SEED = 7
BATCH = 2  # where the model leaves it free
DTYPES = {onnx.TensorProto.FLOAT: np.float32, onnx.TensorProto.FLOAT16: np.float16}


def draw(model: onnx.ModelProto, batch: int = BATCH, seed: int = SEED) -> dict[str, NDArray[Any]]:
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


def error(path: Path, feeds: Feeds, expected: Sequence[NDArray[Any]]) -> float:
    """The error of a model's outputs, as ONNX Runtime computes them.

    It changes nothing in the graph, so that the error is the tool's alone.
    """
    return relative(expected, session(path, optimized=False).run(None, dict(feeds)))


def relative(expected: Sequence[NDArray[Any]], actual: Sequence[NDArray[Any]]) -> float:
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
