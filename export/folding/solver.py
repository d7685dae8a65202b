"""Spreading gauges over a graph until every operator around them is content.

A plan starts with the gauges of the two tensors around an affine that make it superfluous. Every
operator that touches such a tensor says how it can go along (`operators`): by storing other
tensors differently as well, which touches further operators, or by taking the affine into its
constants. Where an operator can choose, the choices are tried in turn. The plan stands when no
operator is left to ask; if one refuses, nothing has been changed.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from export.folding.constants import ONNX_DOMAINS, RefusalError, described, is_operator
from export.folding.draft import AffineSite, Draft, check_rounds
from export.folding.gauge import Gauge
from export.folding.operators import LINEAR, OPERATORS, Operator, Rewriting, Spot
from export.folding.recognition import BROADCASTS_SINCE_OPSET, FLOATS

# Operators that are asked for one plan. A residual stream of ResNet-152 has 50 sums; what is not
# solved within a few hundred questions is a search that goes in circles.
MOST_QUESTIONS = 600
# Choices that are tried for one plan; each is a level of recursion, and Python has a thousand.
MOST_CHOICES = 200
# Scales of what is stored; beyond, numbers of that type overflow or drown.
LARGEST_SCALE = {ir.DataType.FLOAT16: 2.0**6}
LARGEST_WIDE_SCALE = 2.0**40


@dataclass(frozen=True)
class Plan:
    """Gauges that are consistent all over a graph, and what they make of its nodes.

    Attributes:
        draft: The graph.
        gauges: Of every tensor that is stored differently.
        linear: The linear operators around those tensors; their new weights take time to compute.
        rewritings: What the other nodes become.
        absorbing: The affines that take a part of another.
    """

    draft: Draft
    gauges: Mapping[ir.Value, Gauge]
    linear: tuple[ir.Node, ...]
    rewritings: Mapping[ir.Node, Rewriting]
    absorbing: Mapping[AffineSite, Spot]

    def weights(self) -> dict[ir.Node, Rewriting]:
        """What the linear operators become.

        Raises:
            RefusalError: A new weight does not fit its type.
        """
        return _rewritings(self.draft, self.linear, self.gauges)


@dataclass
class _Search:
    """One search: what it must not ask, and how much it may still ask."""

    draft: Draft
    hole: AffineSite
    start: Mapping[ir.Value, Gauge]
    clamps: bool
    questions: int = MOST_QUESTIONS
    choices: int = MOST_CHOICES


def solve(
    draft: Draft, hole: AffineSite, start: Mapping[ir.Value, Gauge], *, clamps: bool = True
) -> Plan:
    """Complete gauges until all operators are content.

    Args:
        draft: The graph.
        hole: The affine that is to become superfluous; it is not asked.
        start: The gauges around it.
        clamps: Whether an activation may become a bound for each channel.

    Raises:
        RefusalError: An operator does not go along; the message says which and why.
    """
    search = _Search(draft, hole, start, clamps)
    gauges: dict[ir.Value, Gauge] = {}
    waiting: list[ir.Node] = []
    for value, gauge in start.items():
        if not gauge.is_identity:
            _check_storable(value, gauge)
            gauges[value] = gauge
            waiting += _touched(value)
    return _plan(search, _spread(search, gauges, waiting))


def _spread(
    search: _Search, gauges: dict[ir.Value, Gauge], waiting: list[ir.Node]
) -> dict[ir.Value, Gauge]:
    """Ask the waiting nodes, in the order in which they came up, and try what they offer."""
    gauges, waiting = dict(gauges), list(dict.fromkeys(waiting))
    while waiting:
        node = waiting.pop(0)
        offers = _offers(search, node, gauges)
        for offer in offers[:-1]:
            search.choices -= 1
            if search.choices < 0:
                raise RefusalError("it would have to go through too many sums")
            with contextlib.suppress(RefusalError):
                return _spread(search, *_extended(search, gauges, waiting, node, offer))
        gauges, waiting = _extended(search, gauges, waiting, node, offers[-1])
    return gauges


def _offers(
    search: _Search, node: ir.Node, gauges: Mapping[ir.Value, Gauge]
) -> list[Mapping[ir.Value, Gauge]]:
    search.questions -= 1
    if search.questions < 0:
        raise RefusalError("it would have to go through too many operators")
    spot = Spot(node, gauges, search.draft, search.clamps)
    site = spot.site
    if site is search.hole:
        _check_held(search, gauges)
        return [{}]
    if site is not None:
        absorbed(spot, site)
        return [{}]
    offers: list[Mapping[ir.Value, Gauge]] = []
    refusal: RefusalError | None = None
    try:
        # A rule may offer some ways before it finds that there are no more.
        offers.extend(_operator(node).balance(spot))
    except RefusalError as found:
        refusal = found
    if not offers:
        raise refusal or RefusalError(f"{described(node)} does not go along", node)
    return offers


def _check_held(search: _Search, gauges: Mapping[ir.Value, Gauge]) -> None:
    """The affine is superfluous for the gauges that it was given, and for no others."""
    for value in (search.hole.source, search.hole.output):
        if (value in gauges) != (value in search.start and not search.start[value].is_identity):
            raise RefusalError(f"'{value.name}' would have to be stored in two ways")


def _known(draft: Draft, node: ir.Node) -> None:
    if node not in draft.sites:
        _operator(node)


def _operator(node: ir.Node) -> Operator:
    known = OPERATORS.get(node.op_type) if node.domain in ONNX_DOMAINS else None
    if known is None:
        raise RefusalError(f"{described(node)} needs its tensors as they are", node)
    return known


def _extended(
    search: _Search,
    gauges: dict[ir.Value, Gauge],
    waiting: list[ir.Node],
    node: ir.Node,
    offer: Mapping[ir.Value, Gauge],
) -> tuple[dict[ir.Value, Gauge], list[ir.Node]]:
    """Gauges and waiting nodes once an offer is taken."""
    gauges, waiting = dict(gauges), list(waiting)
    for value in () if node in search.draft.sites else (*node.inputs, *node.outputs):
        if value in gauges and value not in offer:  # what an offer leaves out is stored as it is
            raise RefusalError(f"'{value.name}' would have to be stored in two ways", node)
    for value, gauge in offer.items():
        if value in gauges:
            if not gauges[value].is_same_as(gauge):
                raise RefusalError(f"'{value.name}' would have to be stored in two ways", node)
        elif not gauge.is_identity:
            _check_storable(value, gauge)
            gauges[value] = gauge
            for other in _touched(value):  # before anybody is asked: who will not answer
                _known(search.draft, other)
            waiting += [other for other in _touched(value) if other is not node]
    return gauges, list(dict.fromkeys(waiting))


def _touched(value: ir.Value) -> Iterable[ir.Node]:
    producer = value.producer()
    if producer is not None:
        yield producer
    yield from (use.node for use in value.uses())


def _check_storable(value: ir.Value, gauge: Gauge) -> None:
    """Refuse to change what others than the operators of this graph see."""
    producer = value.producer()
    if producer is None:
        raise RefusalError(f"'{value.name}' is an input of the graph")
    if value.is_graph_output():
        raise RefusalError(
            f"the output of {described(producer)} is an output of the graph", producer
        )
    for use in value.uses():
        if use.node.graph is not producer.graph:
            raise RefusalError(
                f"the output of {described(producer)} is read inside a subgraph, "
                f"by {described(use.node)}",
                use.node,
            )
    if value.dtype not in FLOATS:
        raise RefusalError(f"the output of {described(producer)} holds no floats", producer)
    largest = LARGEST_SCALE.get(value.dtype, LARGEST_WIDE_SCALE)
    scale = np.abs(gauge.primary.scale)
    scale = scale[scale > 0]
    if scale.size and (scale.max() > largest or scale.min() < 1 / largest):
        raise RefusalError(
            f"the output of {described(producer)} would be stored at {scale.max():.3g} to "
            f"{scale.min():.3g} times its size",
            producer,
        )


def absorbed(spot: Spot, site: AffineSite) -> None:
    """Check that an affine can take the gauges around it into itself."""
    if site.held is not None:
        raise RefusalError(f"{spot.described} is to stay as it is", spot.node)
    if spot.draft.opset < BROADCASTS_SINCE_OPSET:
        raise RefusalError(f"{spot.described} is of an opset older than 7", spot.node)
    before, after = spot.of(site.source), spot.of(site.output)
    if before is not None:
        before.decode  # noqa: B018 - refuses
    if after is not None:
        after.encode  # noqa: B018 - refuses


def _plan(search: _Search, gauges: dict[ir.Value, Gauge]) -> Plan:
    touched = dict.fromkeys(node for value in gauges for node in _touched(value))
    sites = {node: search.draft.sites.get(node) for node in touched}
    absorbing = {
        site: Spot(node, gauges, search.draft)
        for node, site in sites.items()
        if site is not None and site is not search.hole
    }
    free = [node for node, site in sites.items() if site is None]
    linear = tuple(node for node in free if is_operator(node, *LINEAR))
    others = [node for node in free if node not in linear]
    return Plan(search.draft, gauges, linear, _rewritings(search.draft, others, gauges), absorbing)


def _rewritings(
    draft: Draft, nodes: Iterable[ir.Node], gauges: Mapping[ir.Value, Gauge]
) -> dict[ir.Node, Rewriting]:
    found = {}
    for node in nodes:
        rewrite = _operator(node).rewrite
        rewriting = rewrite(Spot(node, gauges, draft)) if rewrite is not None else None
        if rewriting is not None:
            found[node] = rewriting
            _check_rounds(node, rewriting)
    return found


def _check_rounds(node: ir.Node, rewriting: Rewriting) -> None:
    """Refuse constants that do not fit; a linear operator has looked at its own."""
    dtype = node.outputs[0].dtype
    if dtype is None or is_operator(node, *LINEAR):
        return
    for step in rewriting.steps:
        for array in step.constants.values():
            check_rounds(array, dtype, node)
