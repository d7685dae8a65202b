"""Narrower numbers after the fold: 16-bit floats or 8-bit integers, judged before they are kept."""

from export.precision.judge import Judgement
from export.precision.options import PrecisionOptions
from export.precision.reduction import PrecisionReport, Reduced, reduce_precision

__all__ = ["Judgement", "PrecisionOptions", "PrecisionReport", "Reduced", "reduce_precision"]
