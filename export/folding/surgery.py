"""Carrying out what was planned: nodes become what their rules said, affines vanish or change.

Nodes and values are changed in place, so that whatever was known of them stays known; the tensors
of the graph keep their names, and those of its outputs above all.
"""

import numpy as np
import onnx_ir as ir

from export.folding.affine import Affine
from export.folding.constants import label
from export.folding.draft import AffineSite, Draft, dims, is_per_channel
from export.folding.gauge import Gauge
from export.folding.operators import Rewriting, Spot, Step

ROUNDING = 1e-14  # some units in the last place of a float64


def rewrite(draft: Draft, node: ir.Node, rewriting: Rewriting) -> None:
    """Turn a node into what its rule said; the last step stays this node."""
    *before, last = rewriting.steps
    data = None
    for step in before:
        data = _insert(draft, node, step, data)
    _become(draft, node, last, data)


def bypass(draft: Draft, site: AffineSite) -> None:
    """Take an affine out of the graph: what read its output reads its input."""
    source, output = site.source, site.output
    draft.remove_site(site)
    if output.is_graph_output() and (_is_foreign(source, site) or source.is_graph_output()):
        _become_chain(draft, site.nodes[-1], source, [Step("Identity", {}, ())])
    elif output.is_graph_output():
        name, source.type, source.shape = output.name, output.type, output.shape
        output.replace_all_uses_with(source, replace_graph_outputs=True)
        output.name, source.name = None, name
    else:
        output.replace_all_uses_with(source)
    prune(draft, site.nodes[-1])


def _is_foreign(value: ir.Value, site: AffineSite) -> bool:
    """Whether something else than the affine's own graph computes a value."""
    producer = value.producer()
    return producer is None or producer.graph is not site.nodes[-1].graph


def absorb(site: AffineSite, spot: Spot) -> None:
    """Let an affine take the gauges around it into itself."""
    site.affine = absorbed_affine(site, spot)
    _read_as(site, spot.of(site.source))
    site.changed = True


def reduce(site: AffineSite, rest: Affine, before: Gauge | None) -> None:
    """Leave of an affine what is not in the gauges around it, `before` that of what it reads."""
    site.affine, site.changed = rest, True
    _read_as(site, before)


def _read_as(site: AffineSite, before: Gauge | None) -> None:
    """What is known of the numbers that an affine reads is of those that are stored."""
    if before is not None and before.encoding is not None:
        site.mean = before.encoding(site.mean)
        site.deviation = np.abs(before.encoding.scale) * site.deviation


def absorbed_affine(site: AffineSite, spot: Spot) -> Affine:
    """What an affine would become; see `absorb`."""
    before, after = spot.of(site.source), spot.of(site.output)
    steps = [
        *([] if before is None else [before.decode]),
        site.affine,
        *([] if after is None else [after.encode]),
    ]
    whole, sizes = Affine.identity(steps[0].scale.ndim), Affine.identity(steps[0].scale.ndim)
    for step in steps:
        whole = step.after(whole)
        sizes = Affine(np.abs(step.scale), np.abs(step.shift)).after(sizes)
    # What cancels up to rounding is gone: no operator is left to add 1e-17.
    scale = np.where(np.abs(whole.scale - 1) <= ROUNDING, 1.0, whole.scale)
    shift = np.where(np.abs(whole.shift) <= ROUNDING * sizes.shift, 0.0, whole.shift)
    return Affine(scale, shift)


def write(draft: Draft, site: AffineSite) -> None:
    """Write an affine that has changed back into the graph, as few operators as it takes."""
    if not site.changed:
        return
    affine, source = site.affine, site.source
    norm = next((node for node in site.nodes if node.op_type == "BatchNormalization"), None)
    last = site.nodes[-1]
    channels = dims(source)[1] if len(dims(source)) > 1 else None
    single = affine.only_scales or affine.only_shifts
    if single or norm is None or not isinstance(channels, int) or not is_per_channel(affine):
        steps = _elementwise(affine)
        last.resize_outputs(1)
        _become_chain(draft, last, source, steps)
    else:
        _become_batch_norm(draft, last, source, affine, channels)


def _elementwise(affine: Affine) -> list[Step]:
    steps = []
    if not affine.only_shifts:
        steps.append(Step("Mul", {1: affine.scale}, ()))
    if not affine.only_scales:
        steps.append(Step("Add", {1: affine.shift}, ()))
    return steps or [Step("Identity", {}, ())]


def _become_batch_norm(
    draft: Draft, node: ir.Node, source: ir.Value, affine: Affine, channels: int
) -> None:
    """A batch norm of mean 0 and variance 1: one operator, and one that runtimes know to fuse."""
    parts = (affine.scale, affine.shift)
    scale, shift = (np.broadcast_to(part.reshape(-1), (channels,)) for part in parts)
    dtype = source.dtype or ir.DataType.FLOAT
    _set_operands(draft, node, [source])
    node.op_type, node.domain = "BatchNormalization", ""
    node.attributes.clear()
    node.attributes["epsilon"] = ir.AttrFloat32("epsilon", 0.0)
    node.resize_outputs(1)
    parameters = (scale, shift, np.zeros_like(scale), np.ones_like(scale))
    for index, array in enumerate(parameters, start=1):
        draft.set_operand(node, index, array, dtype)


def _become_chain(draft: Draft, node: ir.Node, source: ir.Value, steps: list[Step]) -> None:
    *before, last = steps
    _set_operands(draft, node, [source])
    data = None
    for step in before:
        data = _insert(draft, node, step, data)
    _become(draft, node, last, data)


def _insert(draft: Draft, node: ir.Node, step: Step, data: ir.Value | None) -> ir.Value:
    """Put an operator in front of a node; return what it writes."""
    source = node.inputs[step.data] if data is None else data
    if not isinstance(node.graph, ir.Graph) or source is None:  # pragma: no cover
        raise TypeError("a node that is folded stands in a graph and has an input")
    attributes = node.attributes.values() if step.attributes is None else step.attributes
    like = node.outputs[0]
    written = ir.Value(
        name=draft.unique(f"{like.name}_{step.op_type.lower()}"), shape=like.shape, type=like.type
    )
    new = ir.Node(
        "",
        step.op_type,
        [source],
        list(attributes),
        outputs=[written],
        name=f"{label(node)}/{step.op_type}",
    )
    node.graph.insert_before(node, new)
    for index, array in sorted(step.constants.items()):
        draft.set_operand(new, index, array, _dtype(new))
    return written


def _become(draft: Draft, node: ir.Node, step: Step, data: ir.Value | None) -> None:
    if step.attributes is not None:
        kept = list(step.attributes)
        node.attributes.clear()
        node.attributes.update({attribute.name: attribute for attribute in kept})
    if data is not None or step.op_type != node.op_type or step.data != 0:
        source = node.inputs[step.data] if data is None else data
        weight = node.inputs[1] if len(node.inputs) > 1 and 1 in step.constants else None
        named = [] if data is not None or step.op_type not in {"Gemm", "Conv"} else [weight]
        _set_operands(draft, node, [source, *named])
    node.op_type, node.domain = step.op_type, ""
    for index, array in sorted(step.constants.items()):
        draft.set_operand(node, index, array, _dtype(node))


def _set_operands(draft: Draft, node: ir.Node, operands: list[ir.Value | None]) -> None:
    """Give a node these operands and no others."""
    old = [value for value in node.inputs if value is not None]
    node.resize_inputs(len(operands))
    for index, value in enumerate(operands):
        node.replace_input_with(index, value)
    for value in dict.fromkeys(old):
        producer = value.producer()
        if producer is not None:
            prune(draft, producer)
        else:
            draft.drop_unused(value)


def _dtype(node: ir.Node) -> ir.DataType:
    """The type of a node's constants: that of its data."""
    data = node.inputs[0]
    found = (None if data is None else data.dtype) or node.outputs[0].dtype
    return found or ir.DataType.FLOAT


def prune(draft: Draft, node: ir.Node) -> None:
    """Remove a node that nobody reads, and what is only there for it."""
    if node.graph is None or any(o.uses() or o.is_graph_output() for o in node.outputs):
        return
    if node in draft.sites:
        draft.remove_site(draft.sites[node])
    operands = [value for value in node.inputs if value is not None]
    node.graph.remove(node, safe=True)
    for value in dict.fromkeys(operands):
        producer = value.producer()
        if producer is not None:
            prune(draft, producer)
        else:
            draft.drop_unused(value)
