"""The engine: every affine of a graph is taken apart by the moves, or kept with a reason.

In rounds, until none changes anything: first the batch norms that go straight into what computes
their input, then parallel branches, then everything that costs no operator, then what turns an
activation into a bound for each channel, then what leaves one Mul or Add of a batch norm.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Literal

import onnx_ir as ir

from export.folding import moves, surgery
from export.folding.affine import Affine
from export.folding.constants import RefusalError, is_constant, is_operator, label
from export.folding.draft import AffineSite, Draft, check_rounds, dims
from export.folding.listing import Record, entries, strains
from export.folding.merging import merge_branches
from export.folding.moves import Candidate
from export.folding.operators import Rewriting
from export.folding.preparation import opset_of, prepare, remove_dead
from export.folding.recognition import BROADCASTS_SINCE_OPSET, chains, varies_once
from export.folding.report import FoldReport, Outcome
from export.folding.solver import Plan, solve
from export.folding.transposes import cancel_transposes

# What may be done besides moving an affine backward: whatever costs no operator, bounds for each
# channel in place of a ReLU, one operator in place of an affine.
Extra = Literal["free", "clamp", "reduce"]
BACKWARD: frozenset[Extra] = frozenset()
SAFE: frozenset[Extra] = frozenset({"free"})
ALL: frozenset[Extra] = frozenset({"free", "clamp", "reduce"})
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class _Bounds:
    """What a round may do.

    Attributes:
        clamps: Turn an activation into a bound for each channel.
        growth: The most operators that a move may add, its own gain subtracted.
    """

    clamps: bool
    growth: int


FREE = _Bounds(clamps=False, growth=-1)
CLAMPING = _Bounds(clamps=True, growth=0)


def fold_in_place(
    model: ir.Model, extras: frozenset[Extra] = ALL, keep: Mapping[str, str] = NOTHING
) -> FoldReport:
    """Fold the affines of a model into its weights, in place.

    Args:
        model: A valid model whose tensors are in memory. One of IR version 3 is raised to 4, where
            initializers need not be inputs. Nodes that nobody reads are removed.
        extras: The moves to make besides moving affines backward.
        keep: Why to leave batch norms and chains as they are, by their names.

    Returns:
        The outcome of every BatchNormalization node, those in subgraphs and functions included, and
        of every chain of Mul, Add, Sub and Div with constants that could stand for one.
    """
    prepare(model)
    engine = _Engine(model, extras, keep)
    engine.run()
    remove_dead(model)
    return engine.report


class _Engine:
    """One fold: the draft of the graph and a record of every affine."""

    def __init__(self, model: ir.Model, extras: frozenset[Extra], keep: Mapping[str, str]) -> None:
        self._model, self._extras = model, extras
        opset = opset_of(model)
        self._draft = Draft(opset, _taken_names(model))
        self._records: dict[AffineSite, Record] = {}
        for graph in model.graphs():
            cancel_transposes(self._draft, graph)
            remove_dead(model)
            for site in list(chains(iter(graph), opset)):
                if _is_target(site):
                    self._add(site, keep)
        self._entries = list(entries(model, self._draft))

    def _add(self, site: AffineSite, keep: Mapping[str, str]) -> None:
        self._draft.add_site(site)
        if site.affine.is_identity and not site.has_batch_norm:
            surgery.bypass(self._draft, site)
            return
        reasons = (keep.get(label(node)) for node in site.nodes)
        site.held = next((reason for reason in reasons if reason is not None), None)
        self._records[site] = Record(site)

    def run(self) -> None:
        """Make all moves."""
        self._sweep(lambda site: islice(moves.removals(site), 1), FREE)
        broadcasts = self._draft.opset >= BROADCASTS_SINCE_OPSET
        while "free" in self._extras and broadcasts and self._round():
            pass
        for site in dict.fromkeys(self._draft.sites.values()):
            surgery.write(self._draft, site)
        for graph in self._model.graphs():
            cancel_transposes(self._draft, graph)
        self._draft.finish()

    def _round(self) -> bool:
        """One round of everything that is allowed; whether it changed anything."""
        changed = self._merge()
        changed |= self._sweep(moves.removals, FREE)
        clamping = "clamp" in self._extras
        if clamping:
            changed |= self._sweep(moves.removals, CLAMPING)
        reducing = _Bounds(clamping, growth=0) if "reduce" in self._extras else FREE
        return changed | self._sweep(moves.reductions, reducing)

    def _merge(self) -> bool:
        merged = [
            m for graph in self._model.graphs() for m in merge_branches(self._draft, list(graph))
        ]
        for one in merged:
            for site in one.sites:
                self._close(self._records[site], "merged", (label(one.conv),), ())
        return bool(merged)

    def _sweep(
        self,
        candidates: Callable[[AffineSite], Iterator[Callable[[], Candidate]]],
        bounds: _Bounds,
    ) -> bool:
        """Try every affine that is left once."""
        changed = False
        for site in dict.fromkeys(self._draft.sites.values()):
            if site.nodes[0] in self._draft.sites and site.held is None:  # nor gone meanwhile
                changed |= self._move(self._records[site], candidates(site), bounds)
        return changed

    def _move(
        self, record: Record, candidates: Iterator[Callable[[], Candidate]], bounds: _Bounds
    ) -> bool:
        """Take the first move of an affine that is allowed; whether there was one."""
        if record.site.affine.is_identity:
            surgery.bypass(self._draft, record.site)
            self._close(record, _taken(record.outcome), (), ())
            return True
        for make in candidates:
            outcome: Outcome = "kept"
            try:
                candidate = make()
                outcome = candidate.outcome
                start = candidate.gauges(record.site)
                plan = solve(self._draft, record.site, start, clamps=bounds.clamps)
                _check_growth(plan, plan.rewritings, record.site, candidate, bounds)
                rewritings = {**plan.rewritings, **plan.weights()}
                _check_growth(plan, rewritings, record.site, candidate, bounds)
            except RefusalError as refusal:
                record.refusals[outcome] = refusal
            else:
                self._apply(record, candidate, plan, rewritings)
                return True
        return False

    def _apply(
        self,
        record: Record,
        candidate: Candidate,
        plan: Plan,
        rewritings: Mapping[ir.Node, Rewriting],
    ) -> None:
        site = record.site
        record.strain = max(record.strain, moves.strain(site))
        into = [label(node) for node in rewritings]
        into += [label(other.nodes[-1]) for other in plan.absorbing]
        through = tuple(value.name or "" for value in plan.gauges)
        clamps = any(rewriting.clamps for rewriting in plan.rewritings.values())
        for other, spot in plan.absorbing.items():
            surgery.absorb(other, spot)
        for node, rewriting in rewritings.items():
            surgery.rewrite(self._draft, node, rewriting)
        if candidate.rest is None:
            surgery.bypass(self._draft, site)
        else:
            surgery.reduce(site, candidate.rest, candidate.before)
        self._close(record, "clamped" if clamps else candidate.outcome, tuple(into), through)

    def _close(
        self, record: Record, outcome: Outcome, into: tuple[str, ...], through: tuple[str, ...]
    ) -> None:
        record.outcome = outcome
        record.into = tuple(dict.fromkeys((*record.into, *into)))
        record.through = tuple(dict.fromkeys((*record.through, *through)))

    @property
    def report(self) -> FoldReport:
        """What became of every affine."""
        nodes = tuple(entry(self._records) for entry in self._entries)
        return FoldReport(nodes, strains(self._records.values()))


def _taken(outcome: Outcome) -> Outcome:
    """The outcome of an affine that others have left nothing of."""
    return "merged" if outcome in {"kept", "reduced"} else outcome


def _check_growth(
    plan: Plan,
    rewritings: Mapping[ir.Node, Rewriting],
    site: AffineSite,
    candidate: Candidate,
    bounds: _Bounds,
) -> None:
    """Refuse a plan that costs more than it gains, or that only moves things to and fro.

    Every move takes operators away, or a whole affine, or a scale or shift of one: two batch norms
    behind one convolution would otherwise hand the same scale back and forth for ever.
    """
    growth = sum(len(rewriting.steps) - 1 for rewriting in rewritings.values())
    changes = [(site.affine, candidate.rest)]
    for other, spot in plan.absorbing.items():
        absorbed = surgery.absorbed_affine(other, spot)
        growth += other.cost_of(absorbed) - other.cost
        changes.append((other.affine, absorbed))
        _check_rounds(other, absorbed)
    growth += (0 if candidate.rest is None else site.cost_of(candidate.rest)) - site.cost
    if growth > bounds.growth:
        raise RefusalError("it would take as many operators elsewhere as it saves")
    _check_rounds(site, candidate.rest)
    parts = sum(_parts(after) - _parts(before) for before, after in changes)
    if growth == 0 and candidate.rest is not None and parts >= 0:
        raise RefusalError("what it would be rid of would come up elsewhere")


def _check_rounds(site: AffineSite, affine: Affine | None) -> None:
    for array in () if affine is None else (affine.scale, affine.shift):
        check_rounds(array, site.source.dtype or ir.DataType.FLOAT, site.nodes[-1])


def _parts(affine: Affine | None) -> int:
    """Scale, shift, or both: how many of them an affine has."""
    return 0 if affine is None else (not affine.only_scales) + (not affine.only_shifts)


def _is_target(site: AffineSite) -> bool:
    """Whether an affine is one to be rid of.

    Not the bias behind a MatMul, which no MatMul can take in, and not numbers that differ from
    position to position, such as an embedding.
    """
    if not varies_once(site.affine):
        return False
    producer = site.source.producer()
    is_bias = (
        site.affine.only_shifts
        and producer is not None
        and is_operator(producer, "MatMul")
        and is_constant(producer.inputs[1])
        and len(dims(site.source)) != 2
    )
    return not is_bias


def _taken_names(model: ir.Model) -> set[str]:
    """Every name of a value in the model, subgraphs included: they share one name space."""
    taken: set[str] = set()
    for graph in model.graphs():
        values = [*graph.inputs, *graph.initializers.values()]
        values += [output for node in graph for output in node.outputs]
        taken.update(value.name for value in values if value.name)
    return taken
