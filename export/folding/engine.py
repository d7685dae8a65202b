"""The engine: every affine of a graph is taken apart by the moves, or kept with a reason.

In rounds, until none changes anything: first the batch norms that go straight into what computes
their input, then parallel branches, then everything that costs no operator, then what turns an
activation into a bound for each channel, then what leaves one Mul or Add of a batch norm.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Literal

import onnx_ir as ir

from export.folding import moves, surgery
from export.folding.constants import RefusalError, described, is_constant, is_operator, label
from export.folding.draft import AffineSite, Draft, dims
from export.folding.merging import merge_branches
from export.folding.moves import Candidate
from export.folding.operators import Rewriting
from export.folding.preparation import opset_of, prepare, remove_dead
from export.folding.recognition import batch_norms, chains, is_batch_norm, match
from export.folding.report import AffineOutcome, FoldReport, Outcome
from export.folding.solver import Plan, solve

Extra = Literal["clamp", "reduce"]
SAFE: frozenset[Extra] = frozenset()
ALL: frozenset[Extra] = frozenset({"clamp", "reduce"})


@dataclass(eq=False)
class _Record:
    """What is known of one affine on the way: its names, and what became of it.

    Attributes:
        site: The affine.
        outcome: What became of it.
        into: Names of the nodes that took it in.
        through: Names of the tensors that hold other numbers now.
        refusals: Why each kind of move was refused, the latest.
    """

    site: AffineSite
    outcome: Outcome = "kept"
    into: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    refusals: dict[str, RefusalError] = field(default_factory=dict)


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
    model: ir.Model, extras: frozenset[Extra] = ALL, keep: frozenset[str] = frozenset()
) -> FoldReport:
    """Fold the affines of a model into its weights, in place.

    Args:
        model: A valid model whose tensors are in memory. One of IR version 3 is raised to 4, where
            initializers need not be inputs. Nodes that nobody reads are removed.
        extras: The moves that may leave other operators behind.
        keep: Names of batch norms and chains to leave as they are.

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

    def __init__(self, model: ir.Model, extras: frozenset[Extra], keep: frozenset[str]) -> None:
        self._model, self._extras = model, extras
        opset = opset_of(model)
        self._draft = Draft(opset, _taken_names(model))
        self._records: dict[AffineSite, _Record] = {}
        for graph in model.graphs():
            for site in chains(iter(graph), opset):
                if _is_target(site):
                    self._draft.add_site(site)
                    self._records[site] = _Record(site)
        self._held = {
            site for site in self._records if any(label(node) in keep for node in site.nodes)
        }
        self._entries = list(_entries(model, self._draft))

    def run(self) -> None:
        """Make all moves."""
        self._sweep(lambda site: islice(moves.removals(site), 1), FREE)
        while self._round():
            pass
        for site in dict.fromkeys(self._draft.sites.values()):
            surgery.write(self._draft, site)
        self._draft.finish()

    def _round(self) -> bool:
        """One round of everything that is allowed; whether it changed anything."""
        changed = self._merge()
        changed |= self._sweep(moves.removals, FREE)
        if "clamp" in self._extras:
            changed |= self._sweep(moves.removals, CLAMPING)
        reducing = CLAMPING if "reduce" in self._extras else FREE
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
            if site.nodes[0] in self._draft.sites and site not in self._held:  # not gone meanwhile
                changed |= self._move(self._records[site], candidates(site), bounds)
        return changed

    def _move(
        self, record: _Record, candidates: Iterator[Callable[[], Candidate]], bounds: _Bounds
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
        record: _Record,
        candidate: Candidate,
        plan: Plan,
        rewritings: Mapping[ir.Node, Rewriting],
    ) -> None:
        site = record.site
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
            site.affine, site.changed = candidate.rest, True
        self._close(record, "clamped" if clamps else candidate.outcome, tuple(into), through)

    def _close(
        self, record: _Record, outcome: Outcome, into: tuple[str, ...], through: tuple[str, ...]
    ) -> None:
        record.outcome = outcome
        record.into = tuple(dict.fromkeys((*record.into, *into)))
        record.through = tuple(dict.fromkeys((*record.through, *through)))

    @property
    def report(self) -> FoldReport:
        """What became of every affine."""
        return FoldReport(tuple(entry(self._records) for entry in self._entries))


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
    """Refuse a plan that costs more than it gains."""
    growth = sum(len(rewriting.steps) - 1 for rewriting in rewritings.values())
    for other, spot in plan.absorbing.items():
        growth += other.cost_of(surgery.absorbed_affine(other, spot)) - other.cost
    growth += (0 if candidate.rest is None else site.cost_of(candidate.rest)) - site.cost
    if growth > bounds.growth:
        raise RefusalError("it would take as many operators elsewhere as it saves")


def _is_target(site: AffineSite) -> bool:
    """Whether an affine is one to be rid of.

    Not the bias behind a MatMul, which no MatMul can take in, and not numbers that differ from
    position to position, such as an embedding.
    """
    scale, shift = site.affine.scale, site.affine.shift
    varying = {axis for array in (scale, shift) for axis, n in enumerate(array.shape) if n > 1}
    if len(varying) > 1:
        return site.has_batch_norm
    producer = site.source.producer()
    is_bias = (
        site.affine.only_shifts
        and producer is not None
        and is_operator(producer, "MatMul")
        and is_constant(producer.inputs[1])
        and len(dims(site.source)) != 2
    )
    return not is_bias


_Entry = Callable[[dict[AffineSite, _Record]], AffineOutcome]


def _entries(model: ir.Model, draft: Draft) -> Iterator[_Entry]:
    """What the report lists, in the order of the graph."""
    seen: set[AffineSite] = set()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        site = draft.sites.get(node)
        if is_batch_norm(node):
            yield _refused(node, draft.opset) if site is None else _batch_norm(node, site)
        elif site is not None and site not in seen and not site.has_batch_norm and _is_listed(site):
            yield _affine(site)
        if site is not None:
            seen.add(site)
    for function in model.functions.values():
        for node in batch_norms(function):
            yield _kept(node, "it stands in a function of the model")


def _is_listed(site: AffineSite) -> bool:
    """Whether a chain could stand for a batch norm; a lone scalar is arithmetic of another kind."""
    sizes = chain(site.affine.scale.shape, site.affine.shift.shape)
    return len(site.nodes) > 1 or any(size > 1 for size in sizes)


def _refused(node: ir.Node, opset: int) -> _Entry:
    try:
        match(node, opset)
    except RefusalError as refusal:
        return _kept(node, str(refusal))
    raise AssertionError(f"{described(node)} was recognised and is in no site")  # pragma: no cover


def _kept(node: ir.Node, reason: str) -> _Entry:
    outcome = AffineOutcome(label(node), "batch_norm", "kept", reason=reason)
    return lambda _: outcome


def _batch_norm(node: ir.Node, site: AffineSite) -> _Entry:
    name = label(node)
    return lambda records: _outcome(name, "batch_norm", records[site])


def _affine(site: AffineSite) -> _Entry:
    name = label(site.nodes[-1])
    return lambda records: _outcome(name, "affine", records[site])


def _outcome(name: str, kind: Literal["batch_norm", "affine"], record: _Record) -> AffineOutcome:
    if record.outcome not in {"kept", "reduced"}:
        return AffineOutcome(name, kind, record.outcome, record.into, record.through)
    reasons, blockers = _reasons(record.refusals)
    return AffineOutcome(name, kind, record.outcome, record.into, record.through, reasons, blockers)


def _reasons(refusals: dict[str, RefusalError]) -> tuple[str, tuple[str, ...]]:
    """The reasons against going back and against going forward, and the nodes they name."""
    ways = {"folded_backward": "backward", "folded_forward": "forward"}
    told = [(way, refusals[outcome]) for outcome, way in ways.items() if outcome in refusals]
    if not told:
        told = list(refusals.items())[:1]
    texts = [str(refusal) for _, refusal in told]
    blockers = tuple(dict.fromkeys(r.node for _, r in told if r.node is not None))
    if len(set(texts)) == 1:
        return texts[0], blockers
    return "; ".join(f"{way}: {text}" for (way, _), text in zip(told, texts, strict=True)), blockers


def _taken_names(model: ir.Model) -> set[str]:
    """Every name of a value in the model, subgraphs included: they share one name space."""
    taken: set[str] = set()
    for graph in model.graphs():
        values = [*graph.inputs, *graph.initializers.values()]
        values += [output for node in graph for output in node.outputs]
        taken.update(value.name for value in values if value.name)
    return taken
