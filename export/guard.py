"""Folding no more than the digits of the numbers allow.

Every move is exact in real arithmetic, but a tensor that is stored shifted far from zero loses
digits in float32. What was folded is measured; if it is more than half as far again off as the
unfolded model, the batch norms whose moves shifted the most stay, until it is not.
"""

import math
from collections.abc import Callable, Mapping

import onnx_ir as ir

from export.folding import Folded
from export.verify import Parity

LARGEST_RATIO = 1.5
# Relative errors below are those of an output's own rounding (2^-22 in float32): of a shallow
# network there is nothing better to be had, and the ratio of two such errors is chance.
ROUNDING = 2.4e-7
# How many of the batch norms that may have cost digits are kept, the worst first.
SHARES = (0.1, 0.3, 1.0)

FoldKeeping = Callable[[Mapping[str, str]], Folded[ir.Model]]
Measure = Callable[[Folded[ir.Model]], Parity]


def fold_within(fold: FoldKeeping, measure: Measure) -> tuple[Folded[ir.Model], Parity]:
    """Fold, and keep those batch norms without which the result is not accurate enough.

    Args:
        fold: Folds but for the batch norms that it is given, with the reasons why they stay.
        measure: Holds a folded model against the original.

    Returns:
        The folded model and what was measured. Where keeping does not help, everything is folded:
        then it is not the moves that cost the digits.
    """
    folded = fold({})
    first = measure(folded)
    if is_accurate(first):
        return folded, first
    strains = folded.report.strains
    worst = sorted(strains, key=lambda name: strains[name], reverse=True)
    for share in SHARES if worst else ():
        kept = worst[: math.ceil(share * len(worst))]
        reason = (
            f"with it folded, the model would be {first.error_ratio:.3g} times as far off float64 "
            "as the unfolded one"
        )
        less = fold(dict.fromkeys(kept, reason))
        parity = measure(less)
        if is_accurate(parity):
            return less, parity
    return folded, first


def is_accurate(parity: Parity) -> bool:
    """Whether a folded model is about as close to float64 as the unfolded one."""
    if parity.error_ratio is None or parity.max_rel_error <= ROUNDING:
        return True
    return parity.error_ratio <= LARGEST_RATIO
