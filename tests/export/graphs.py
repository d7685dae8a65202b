"""Small ONNX models from text, and what they compute."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime  # type: ignore[import-untyped]  # the wheel has no types
from numpy.typing import NDArray
from onnx import numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from export.folding import FoldReport, Mode, fold

Array = NDArray[Any]

# Where everything is float64, nothing is rounded but by the arithmetic itself.
EXACT = 1e-12


def model(
    body: str,
    arrays: Mapping[str, Array],
    *,
    inputs: str,
    outputs: str,
    opset: int = 17,
    ir_version: int = 8,
) -> onnx.ModelProto:
    """A model from the text of its nodes and its initializers by name."""
    header = f'<ir_version: {ir_version}, opset_import: ["" : {opset}]>'
    proto: onnx.ModelProto = parser.parse_model(
        f"{header} g ({inputs}) => ({outputs}) {{ {body} }}"
    )
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array, order="C"), name)
        for name, array in arrays.items()
    )
    return proto


def normal(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# What most convolutions of these tests read, and their weight.
IMAGE = "double[n,4,6,5] x"
WEIGHT = {"w": normal(3, 4, 3, 3)}


def norm(
    channels: int, seed: int = 1, dtype: Any = np.float64, prefix: str = "bn"
) -> dict[str, Array]:
    """Parameters of a batch norm, gammas of both signs among them."""
    rng = np.random.default_rng(seed)
    return {
        f"{prefix}_gamma": rng.uniform(-1.5, 1.5, channels).astype(dtype),
        f"{prefix}_beta": rng.uniform(-1, 1, channels).astype(dtype),
        f"{prefix}_mean": rng.uniform(-1, 1, channels).astype(dtype),
        f"{prefix}_var": rng.uniform(0.2, 2, channels).astype(dtype),
    }


def folded(proto: onnx.ModelProto, mode: Mode = "all") -> tuple[onnx.ModelProto, FoldReport]:
    """The model after the fold, checked, and the report."""
    result = fold(proto, mode)
    onnx.checker.check_model(result.model, full_check=True)
    return result.model, result.report


def kept_reason(proto: onnx.ModelProto) -> str:
    """Why the one batch norm of a model stays; the model is checked to be as it was."""
    after, report = folded(proto)
    assert report.bn_before == report.bn_after == 1
    assert count(after, "BatchNormalization") == 1
    reason = report.nodes[0].reason
    assert reason is not None
    return reason


def reason_unchecked(proto: onnx.ModelProto) -> str | None:
    """The first reason, in a model so old or so wrong that today's checker refuses it."""
    return fold(ir.from_proto(proto), "all").report.nodes[0].reason


def count(proto: onnx.ModelProto, op_type: str) -> int:
    nodes = ir.traversal.RecursiveGraphIterator(ir.from_proto(proto).graph)
    return sum(node.op_type == op_type for node in nodes)


def op_types(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def run_float32(proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """The model under ONNX Runtime without its optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(output) for output in session.run(None, dict(feeds))]


def reference(proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> Array:
    """The first output of a model by ONNX's reference implementation, in the model's own types."""
    outputs: Any = ReferenceEvaluator(proto).run(None, dict(feeds))
    return np.asarray(outputs[0])


def relative_error(expected: Array, actual: Array) -> float:
    assert expected.shape == actual.shape
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max()
    return float(difference / np.abs(expected.astype(np.float64)).max())


def bn(source: str, target: str = "y", attributes: str = "", prefix: str = "bn") -> str:
    """The text of a batch norm with the parameters of `norm`."""
    names = ", ".join(f"{prefix}_{role}" for role in ("gamma", "beta", "mean", "var"))
    return f"{target} = BatchNormalization{attributes}({source}, {names})"
