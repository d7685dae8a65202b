"""Choosing among the moves: those that free a graph of operators always, the others if they pay.

Fewer operators are not always faster: ONNX Runtime runs a batch norm and its ReLU inside its
blocked layout on a CPU, and a Max for each channel falls out of it (DenseNet-121 with 59 of them
takes 1.07 times as long), while on a GPU the same graph takes 0.69 of the time. Where a batch norm
stands before a sum, taking it out can undo a fusion as well (ConvMixer 1.05). So it is measured, on
the device that the model is for, if that is here; moving batch norms backward alone is what ONNX
Runtime does itself, and is no slower.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import onnx_ir as ir

from export.folding.engine import ALL, BACKWARD, SAFE, Extra, fold_in_place
from export.folding.report import AffineOutcome, Decision, FoldReport

Mode = Literal["safe", "fast", "all"]
Target = Literal["cpu", "cuda"]
# Medians in milliseconds of one run of each model, taken in turns.
Measure = Callable[[Sequence[ir.Model]], list[float]]

# What is faster by less than this is as fast: on a machine that does other things besides, medians
# of some hundred turns differ by so much when the same model is measured twice.
NOISE = 0.02
# An operator that could go is left in for more than this alone: a network of microseconds cannot be
# measured to two percent.
WORTH_MS = 0.02
NAMES: Mapping[frozenset[Extra], str] = {
    SAFE: "safe",
    BACKWARD: "backward",
    SAFE | {"clamp"}: "safe and clamps",
    SAFE | {"reduce"}: "safe and reductions",
    ALL: "all",
}


@dataclass(frozen=True)
class Rule:
    """What to do for a device that cannot be measured on.

    Attributes:
        extras: The moves to take.
        because: The measurement behind it.
    """

    extras: frozenset[Extra]
    because: str


# By device and width of the numbers. Latency against the unfolded model, all optimizations of ONNX
# Runtime 1.31 on; one thread of a CPU, and one H100.
RULES: Mapping[tuple[Target, bool], Rule] = {
    ("cpu", False): Rule(SAFE, "on a CPU clamps made DenseNet-121 1.07 to 1.12 times slower"),
    ("cpu", True): Rule(SAFE, "on a CPU clamps made DenseNet-121 1.07 to 1.12 times slower"),
    ("cuda", False): Rule(
        ALL, "on a GPU in float32 DenseNet-121 with 59 clamps took 0.69 to 0.93 of the time"
    ),
    ("cuda", True): Rule(
        SAFE, "on a GPU in float16 DenseNet-121 with 59 clamps took 1.03 to 1.46 times as long"
    ),
}


@dataclass(frozen=True)
class Choice:
    """A folded model and how it came to be this one.

    Attributes:
        model: The folded model.
        report: What became of every batch norm.
        decision: Which moves were taken, and why.
        latencies: Of every set of moves that was measured, its share of the unfolded model's time.
    """

    model: ir.Model
    report: FoldReport
    decision: Decision
    latencies: Mapping[str, float]


def choose(
    model: ir.Model, mode: Mode, target: Target, measure: Measure | None, keep: Mapping[str, str]
) -> Choice:
    """Fold a copy of a model with the moves that a mode stands for.

    Args:
        model: The model; left as it is.
        mode: "safe", "all", or "fast" for those of "all" that pay.
        target: The device that the model is for.
        measure: Measures models on that device; None if that cannot be done here.
        keep: Why to leave batch norms alone, by their names.
    """
    if mode != "fast":
        extras = ALL if mode == "all" else SAFE
        folded, report = _folded(model, extras, keep)
        return Choice(folded, report, Decision(mode, target, mode, "asked", "as asked"), {})
    found = {extras: _folded(model, extras, keep) for extras in NAMES}
    different = {extras: found[extras] for extras in NAMES if _is_new(extras, found)}
    if len(different) == 1:
        text = "every set of moves comes to the same model"
        return _of(found, SAFE, Decision(mode, target, "safe", "nothing to choose", text), {})
    if measure is None:
        rule = RULES[target, _is_narrow(model)]
        chosen = rule.extras
        decision = Decision(mode, target, NAMES[chosen], "rule", f"by rule: {rule.because}")
        return _of(found, chosen, decision, {})
    unfolded, *others = measure([model, *(folded for folded, _ in different.values())])
    times = dict(zip(different, others, strict=True))
    chosen = _fastest(times, unfolded)
    told = f"measured on this machine's {target}: {NAMES[chosen]} was the fastest"
    decision = Decision(mode, target, NAMES[chosen], "measured", told)
    shares = {NAMES[extras]: time / unfolded for extras, time in times.items()}
    return _of(found, chosen, decision, shares)


_Found = Mapping[frozenset[Extra], tuple[ir.Model, FoldReport]]


def _folded(
    model: ir.Model, extras: frozenset[Extra], keep: Mapping[str, str]
) -> tuple[ir.Model, FoldReport]:
    copy = model.clone()
    return copy, fold_in_place(copy, extras, keep)


def _of(
    found: _Found, extras: frozenset[Extra], decision: Decision, latencies: Mapping[str, float]
) -> Choice:
    folded, report = found[extras]
    pairs = zip(report.nodes, found[ALL][1].nodes, strict=True)
    nodes = tuple(_unpaid(node) if _is_gone(most) else node for node, most in pairs)
    return Choice(folded, replace(report, nodes=nodes), decision, latencies)


def _unpaid(node: AffineOutcome) -> AffineOutcome:
    """Of what stays only because it does not pay, say so."""
    if _is_gone(node):
        return node
    return replace(node, reason=f"{node.reason}; --fold all takes it out, which does not pay here")


def _is_gone(node: AffineOutcome) -> bool:
    return node.outcome not in {"kept", "reduced"}


def _is_new(extras: frozenset[Extra], found: _Found) -> bool:
    """Whether a set of moves comes to another model than the sets before it."""
    before = list(NAMES)[: list(NAMES).index(extras)]
    return all(_moves(found[extras][1]) != _moves(found[other][1]) for other in before)


def _moves(report: FoldReport) -> list[AffineOutcome]:
    """What was done; not why more was not."""
    return [replace(node, reason=None, blocked_by=()) for node in report.nodes]


def _fastest(times: Mapping[frozenset[Extra], float], unfolded: float) -> frozenset[Extra]:
    """The fastest; of those as fast the one that leaves the fewest batch norms.

    What takes longer than the unfolded model is not as fast as what does not.
    """
    least = min(times.values())
    bound = min(least, unfolded) * (1 + NOISE)
    as_fast = [extras for extras, time in times.items() if time <= max(bound, least)]
    if as_fast == [BACKWARD] and times[SAFE] - least < WORTH_MS:
        return SAFE
    return max(as_fast, key=len)


def _is_narrow(model: ir.Model) -> bool:
    return any(
        value.dtype in {ir.DataType.FLOAT16, ir.DataType.BFLOAT16}
        for value in model.graph.initializers.values()
    )
