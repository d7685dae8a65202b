"""Narrower numbers after the fold: 16-bit floats or 8-bit integers, judged before they are kept."""

from export.precision.convertible import check_float32
from export.precision.options import LARGEST_DROP, Io, Kind, PrecisionOptions, options_of
from export.precision.reduction import PrecisionReport, Reduced, reduce_precision

__all__ = [
    "LARGEST_DROP",
    "Io",
    "Kind",
    "PrecisionOptions",
    "PrecisionReport",
    "Reduced",
    "check_float32",
    "options_of",
    "reduce_precision",
]
