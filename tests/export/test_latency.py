"""Latency is measured in pairs and ends in time."""

import onnx_ir as ir
import pytest

from export import latency
from export.sources.original import Original, Provenance, TensorInput
from tests.export.graphs import model


@pytest.mark.parametrize("budget_s", [0.0, 3.0])
def test_both_medians_are_there_however_short_the_budget(budget_s: float) -> None:
    proto = model("y = Relu(x)", {}, inputs="float[n,4] x", outputs="float[n,4] y")
    original = Original(ir.from_proto(proto), TensorInput((4,)), Provenance("onnx", "m.onnx"))

    measured = latency.measure(original, proto.SerializeToString(), budget_s)

    assert measured.unfolded_ms > 0
    assert measured.folded_ms > 0
