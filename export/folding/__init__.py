"""Fold batch normalization into the weights of an ONNX graph, exactly or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import onnx
import onnx_ir as ir

from export.folding.choice import Measure, Mode, Target, choose
from export.folding.engine import NOTHING
from export.folding.report import AffineOutcome, Decision, FoldReport

__all__ = ["AffineOutcome", "Decision", "FoldReport", "Folded", "Measure", "Mode", "Target", "fold"]

AnyModel = TypeVar("AnyModel", ir.Model, onnx.ModelProto)


@dataclass(frozen=True)
class Folded(Generic[AnyModel]):
    """A folded model.

    Attributes:
        model: The model, of the type that was given.
        report: What became of every batch norm, and why.
        decision: Which moves were taken, and why these.
        latencies: In mode "fast", of every set of moves that was measured the share of the unfolded
            model's time; empty where nothing had to be measured.
    """

    model: AnyModel
    report: FoldReport
    decision: Decision
    latencies: Mapping[str, float]


def fold(
    model: AnyModel,
    mode: Mode = "fast",
    target: Target = "cpu",
    *,
    measure: Measure | None = None,
    keep: Mapping[str, str] = NOTHING,
) -> Folded[AnyModel]:
    """Fold the batch norms of a model into its weights.

    Whatever computes with the model computes the same afterwards, up to the rounding of the new
    weights: inputs and outputs keep their names, order, types and shapes. The arithmetic is float64
    with one rounding at the end. What would not be exact is left as it is, and the report says why.

    ```python
    import onnx
    from export.folding import fold

    folded = fold(onnx.load("model.onnx"))
    print(folded.report.bn_before, "->", folded.report.bn_after)
    for node in folded.report.kept:
        print(node.name, node.reason)
    onnx.save(folded.model, "folded.onnx")
    ```

    Args:
        model: A valid model whose tensors are in memory; it is not changed.
        mode: "safe" makes only moves that replace operators by nothing; "all" removes every batch
            norm that can be removed exactly, if need be by turning a ReLU into a Max or Min for
            each channel, or a batch norm into one Mul or Add; "fast" takes of these what measures
            faster.
        target: The device that "fast" decides for.
        measure: What "fast" measures with: takes models, returns the median time of each. None
            takes ONNX Runtime on one thread and random inputs; a model that leaves more than its
            batch free, or a device that is not here, is decided by a rule that was measured.
        keep: Why to leave batch norms as they are, by their names; the report repeats it.

    Returns:
        The folded model and what was done. Nodes that nobody reads are gone, and a model of IR
        version 3 has version 4.
    """
    given: Any = model
    is_proto = isinstance(given, onnx.ModelProto)
    graph = ir.from_proto(given) if is_proto else given
    if mode == "fast" and measure is None:
        # Only here, so that folding itself needs no runtime.
        from export.latency import measuring  # noqa: PLC0415

        measure = measuring(graph, target)
    choice = choose(graph, mode, target, measure, keep)
    result: Any = ir.to_proto(choice.model) if is_proto else choice.model
    return Folded(result, choice.report, choice.decision, choice.latencies)
