"""Fold batch normalization into the weights of an ONNX graph, exactly or not at all."""

from export.folding.engine import fold
from export.folding.report import AffineOutcome, Decision, FoldReport

__all__ = ["AffineOutcome", "Decision", "FoldReport", "fold"]
