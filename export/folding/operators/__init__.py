"""Which operator does what to a gauge: one table, one entry an operator."""

from collections.abc import Mapping

from export.folding.operators.combining import COMBINING
from export.folding.operators.joining import JOINING
from export.folding.operators.layout import LAYOUT
from export.folding.operators.linear import LINEAR
from export.folding.operators.operator import Gauges, Operator, Rewriting, Spot, Step
from export.folding.operators.pointwise import POINTWISE
from export.folding.operators.pooling import POOLING

__all__ = ["LINEAR", "OPERATORS", "Gauges", "Operator", "Rewriting", "Spot", "Step"]

OPERATORS: Mapping[str, Operator] = {
    **LINEAR,
    **LAYOUT,
    **JOINING,
    **POOLING,
    **POINTWISE,
    **COMBINING,
}
