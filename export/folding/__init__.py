"""Fold batch normalization into the weights of an ONNX graph, exactly or not at all."""

from export.folding.engine import BatchNormOutcome, FoldReport, fold

__all__ = ["BatchNormOutcome", "FoldReport", "fold"]
