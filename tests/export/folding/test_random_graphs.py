"""Random graphs: the fold changes no output, and whatever it writes is a valid model.

The arithmetic is float64 throughout, on both sides, so that only what the fold does can differ.
FOLD_EXAMPLES=5000 in the environment searches longer for what it gets wrong.
"""

import os

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, note, settings
from onnx import TensorProto, numpy_helper

from export.folding import FoldReport, Mode
from tests.export.folding.random_graphs import Case, cases
from tests.export.graphs import Array, bn, folded, model, norm, normal, run_float32
from tests.export.oracle import evaluate_all

pytestmark = pytest.mark.slow

# A tensor may be stored shifted by 16 times its typical size, or that of a chain by 2**14 of it
# (what a chain reads is guessed), and pass a dozen layers of that kind; float64 rounds at 2**-53.
EXACT = 1e-10
EXAMPLES = int(os.environ.get("FOLD_EXAMPLES", "60"))
# Finding the first good example takes its time in a fresh process, and loads PyTorch's kernels.
searched = settings(
    deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow]
)


def error(expected: list[Array], actual: list[Array]) -> float:
    """The largest error of an output in units of its own largest number; 0 is stored as 0."""
    return max(
        float(np.abs(one - other).max() / (np.abs(one).max() or 1.0))
        for one, other in zip(expected, actual, strict=True)
    )


def check(case: Case, mode: Mode) -> tuple[onnx.ModelProto, FoldReport]:
    """Fold and hold the result against the model that was given."""
    after, report = folded(case.proto, mode)  # onnx.checker is content
    assert list(after.graph.input) == list(case.proto.graph.input)
    assert list(after.graph.output) == list(case.proto.graph.output)
    feeds = {"x": case.x}
    expected, actual = evaluate_all(case.proto, feeds), evaluate_all(after, feeds)
    assert [one.shape for one in expected] == [one.shape for one in actual]
    assert error(expected, actual) <= EXACT
    assert len(after.graph.node) <= len(case.proto.graph.node)
    if mode == "safe":
        assert bounds(after) <= bounds(case.proto)
    counts = [node.op_type for node in after.graph.node].count("BatchNormalization")
    assert counts <= report.bn_before
    assert all(node.reason for node in report.nodes if node.outcome == "kept")
    return after, report


def bounds(proto: onnx.ModelProto) -> int:
    """How many operators bound each channel by itself."""
    return sum(node.op_type in {"Max", "Min"} for node in proto.graph.node)


@pytest.mark.parametrize("mode", ["safe", "all"])
@searched
@given(case=cases())
def test_random_graphs_compute_the_same_after_the_fold(mode: Mode, case: Case) -> None:
    note(case.text)
    check(case, mode)


def in_float32(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every number a float32."""
    twin: onnx.ModelProto = onnx.ModelProto.FromString(proto.SerializeToString())
    for tensor in twin.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float64:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
    for value in (*twin.graph.input, *twin.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in twin.graph.node:
        for attribute in node.attribute if node.op_type == "Cast" else ():
            attribute.i = TensorProto.FLOAT
    return twin


@settings(searched, max_examples=max(EXAMPLES // 4, 10))
@given(case=cases(longest=5))
def test_onnx_runtime_loads_and_runs_what_is_left(case: Case) -> None:
    note(case.text)
    after, _ = folded(in_float32(case.proto))

    outputs = run_float32(after, {"x": case.x.astype(np.float32)})

    expected = evaluate_all(case.proto, {"x": case.x})
    assert [one.shape for one in outputs] == [one.shape for one in expected]
    assert all(one.dtype == np.float32 and np.isfinite(one).all() for one in outputs)


def test_a_weight_that_is_off_by_a_billionth_would_be_noticed() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        {"w": normal(3, 4, 3, 3), **norm(3)},
        inputs="double[n,4,6,5] x",
        outputs="double[n,3,4,3] y",
    )
    after, _ = folded(proto)
    feeds = {"x": normal(2, 4, 6, 5)}
    expected = evaluate_all(proto, feeds)
    assert error(expected, evaluate_all(after, feeds)) <= EXACT
    (weight,) = (one for one in after.graph.initializer if one.name == "w")
    moved = numpy_helper.to_array(weight) * (1 + 1e-9)
    weight.CopyFrom(numpy_helper.from_array(moved, "w"))

    assert error(expected, evaluate_all(after, feeds)) > EXACT
