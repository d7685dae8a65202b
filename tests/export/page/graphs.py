"""A graph with two batch norms that stay, and the manifest of its fold."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import onnx_ir as ir

from export.folding.report import AffineOutcome, Decision, FoldReport
from export.manifest import Manifest
from export.wording import moves
from tests.export.graphs import bn, model, norm, normal

GATED = """
c = Conv<pads=[1,1,1,1]>(image, w) r = Relu(c) {first} p = MaxPool<kernel_shape=[2,2]>(n1)
{second} s = Sigmoid(n2) g = Mul(n2, s) e = Conv<pads=[1,1,1,1]>(g, v) z = Add(e, p)
"""


def gated(names: Sequence[str] = ("first", "second")) -> ir.Model:
    """Relu -> batch norm -> MaxPool -> batch norm -> SiLU, with a skip around the last two."""
    float32: Any = np.float32
    text = GATED.format(first=bn("r", "n1", prefix="b1"), second=bn("p", "n2", prefix="b2"))
    arrays = {
        "w": normal(4, 3, 3, 3, dtype=float32),
        "v": normal(4, 4, 3, 3, dtype=float32),
        **norm(4, dtype=float32, prefix="b1"),
        **norm(4, dtype=float32, prefix="b2"),
    }
    proto = model(text, arrays, inputs="float[n,3,8,8] image", outputs="float[n,4,7,7] z")
    batch_norms = [node for node in proto.graph.node if node.op_type == "BatchNormalization"]
    for node, name in zip(batch_norms, names, strict=True):
        node.name = name
    found: ir.Model = ir.from_proto(proto)
    return found


def kept(name: str, **fields: Any) -> AffineOutcome:
    return AffineOutcome(name, "batch_norm", "kept", **fields)


def manifest(outcomes: Sequence[AffineOutcome], **changes: Any) -> Manifest:
    """What an artifact says about itself, as it is read back."""
    report = FoldReport(tuple(outcomes))
    decision = Decision("fast", "cpu", "safe", "measured", "the clamps measured slower")
    counts = ("bn_before", "bn_after", "affines_before", "affines_after")
    fold = {
        "mode": decision.mode,
        "target": decision.target,
        "decision": moves(decision),
        **{name: getattr(report, name) for name in counts},
        "nodes": [asdict(outcome) for outcome in outcomes],
    }
    parity = {
        "reference": "float64 PyTorch",
        "samples": 64,
        "seed": 0,
        "max_abs_error": 3.2e-6,
        "max_rel_error": 2.9e-7,
        "unfolded_max_rel_error": 2.5e-7,
        "top1_agreement": 1.0,
        "tolerance": 1e-5,
    }
    return {
        "format_version": 3,
        "name": "gated",
        "version": 7,
        "fold": fold,
        "precision": None,
        "parity": parity,
        "source": {"kind": "onnx", "reference": "gated.onnx", "sha256": "ab" * 32},
        "created_by": {"foldserve": "0.1.0"},
    } | changes
