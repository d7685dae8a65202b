"""What the report lists: every batch norm, and every chain that could stand for one.

The list is made before anything is moved, in the order of the graph; what became of each is filled
in from its record afterwards.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import onnx_ir as ir

from export.folding.constants import RefusalError, described, label
from export.folding.draft import AffineSite, Draft
from export.folding.recognition import is_batch_norm, match
from export.folding.report import AffineOutcome, Kind, Outcome


@dataclass(eq=False)
class Record:
    """What is known of one affine on the way: its names, and what became of it.

    Attributes:
        site: The affine.
        outcome: What became of it.
        into: Names of the nodes that took it in.
        through: Names of the tensors that hold other numbers now.
        refusals: Why each kind of move was refused, the latest.
        strain: How many times its typical size a tensor was shifted when it moved.
    """

    site: AffineSite
    outcome: Outcome = "kept"
    into: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    refusals: dict[str, RefusalError] = field(default_factory=dict)
    strain: float = 0.0


Entry = Callable[[Mapping[AffineSite, Record]], AffineOutcome]


def entries(model: ir.Model, draft: Draft) -> Iterator[Entry]:
    """What the report lists, in the order of the graph.

    Args:
        model: The model, before anything was moved.
        draft: Its affines.

    Yields:
        What becomes an entry of the report once the records are complete.
    """
    seen: set[AffineSite] = set()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        site = draft.sites.get(node)
        if is_batch_norm(node):
            yield _refused(node, draft.opset) if site is None else _batch_norm(node, site)
        elif site is not None and site not in seen and not site.has_batch_norm and _is_listed(site):
            yield _affine(site)
        if site is not None:
            seen.add(site)


def _is_listed(site: AffineSite) -> bool:
    """Whether a chain could stand for a batch norm; a lone scalar is arithmetic of another kind."""
    sizes = chain(site.affine.scale.shape, site.affine.shift.shape)
    return len(site.nodes) > 1 or any(size > 1 for size in sizes)


def _refused(node: ir.Node, opset: int) -> Entry:
    try:
        match(node, opset)
    except RefusalError as refusal:
        return _kept(node, str(refusal))
    raise AssertionError(f"{described(node)} was recognised and is in no site")  # pragma: no cover


def _kept(node: ir.Node, reason: str) -> Entry:
    outcome = AffineOutcome(label(node), "batch_norm", "kept", reason=reason)
    return lambda _: outcome


def _batch_norm(node: ir.Node, site: AffineSite) -> Entry:
    name = label(node)
    return lambda records: _outcome(name, "batch_norm", records[site])


def _affine(site: AffineSite) -> Entry:
    name = label(site.nodes[-1])
    return lambda records: _outcome(name, "affine", records[site])


def strains(records: Iterable[Record]) -> dict[str, float]:
    """What may have cost digits, by name: not what went into the one operator before it alone."""
    return {
        label(record.site.nodes[-1]): record.strain
        for record in records
        if record.into and (record.outcome != "folded_backward" or len(record.into) > 1)
    }


def _outcome(name: str, kind: Kind, record: Record) -> AffineOutcome:
    if record.outcome not in {"kept", "reduced"}:
        return AffineOutcome(name, kind, record.outcome, record.into, record.through)
    if record.site.held is not None:
        return AffineOutcome(name, kind, record.outcome, reason=record.site.held)
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
