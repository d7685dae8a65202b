"""Merging parallel branches: convolutions of one tensor that are added are one convolution.

RepVGG, MobileOne and FastViT train with branches: ``conv3x3(x) + conv1x1(x) + batch_norm(x)``.
Kernels add up where they stand on the same grid; an affine of x, or x itself, is a 1x1 kernel with
the scale on its diagonal (Ding et al. 2021, https://arxiv.org/abs/2101.03697, section 3.3).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from export.folding.affine import Affine, Array
from export.folding.constants import RefusalError, is_operator
from export.folding.draft import AffineSite, Draft, check_rounds, doubled
from export.folding.gauge import per_channel
from export.folding.surgery import prune

SUMS = ("Add", "Sub", "Sum")


@dataclass(frozen=True)
class Geometry:
    """Where the taps of a convolution stand, one number for each spatial axis.

    Attributes:
        kernel: Taps.
        strides: Steps of the output on the input.
        dilations: Steps of the taps on the input.
        before: Padding in front.
        after: Padding behind.
        groups: Groups of channels.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    groups: int

    @property
    def growth(self) -> tuple[int, ...]:
        """By how much the output is larger than the input, before the strides."""
        axes = zip(self.before, self.after, self.dilations, self.kernel, strict=True)
        return tuple(b + a - d * (k - 1) for b, a, d, k in axes)

    @property
    def reach(self) -> tuple[int, ...]:
        """How far behind its position the last tap reads."""
        axes = zip(self.dilations, self.kernel, self.before, strict=True)
        return tuple(d * (k - 1) - b for d, k, b in axes)


@dataclass(frozen=True, eq=False)
class Branch:
    """One term of a sum: a convolution of the source, an affine of it, or the source itself.

    Attributes:
        value: What is added.
        sign: 1, or -1 where it is subtracted.
        source: What it is computed from.
        conv: The convolution, if it is one.
        site: The affine, if it is one.
    """

    value: ir.Value
    sign: float
    source: ir.Value
    conv: ir.Node | None = None
    site: AffineSite | None = None


@dataclass(frozen=True)
class Merged:
    """What was merged: the convolution that is left and the affines that went into it."""

    conv: ir.Node
    sites: tuple[AffineSite, ...]


def merge_branches(draft: Draft, nodes: Sequence[ir.Node]) -> Iterator[Merged]:
    """Merge the parallel branches of a graph, in place.

    Args:
        draft: The graph.
        nodes: Its nodes, in order.
    """
    for root in nodes:
        if root.graph is None or not is_operator(root, *SUMS) or _feeds_sum(root):
            continue
        group = _group(draft, root)
        if group is None:
            continue
        base = max((branch.conv for branch in group if branch.conv is not None), key=_taps)
        try:
            geometry, weight, bias = _summed(group, base)
        except RefusalError:
            continue
        _set_conv(draft, base, geometry, weight, bias)
        _join(draft, root, base.outputs[0])
        yield Merged(base, tuple(b.site for b in group if b.site is not None))


def _feeds_sum(node: ir.Node) -> bool:
    output = node.outputs[0]
    return _is_private(output) and all(is_operator(use.node, *SUMS) for use in output.uses())


def _is_private(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def _group(draft: Draft, root: ir.Node) -> list[Branch] | None:
    """All terms of a sum, if they are branches of one tensor with a convolution among them."""
    branches = list(_branches(draft, root, 1.0))
    sources = {branch.source for branch in branches}
    if len(branches) < 2 or not any(branch.conv for branch in branches):
        return None
    return branches if len(sources) == 1 else None


def _branches(draft: Draft, node: ir.Node, sign: float) -> Iterator[Branch]:
    signs = (sign, -sign) if node.op_type == "Sub" else (sign,) * len(node.inputs)
    for value, own in zip(node.inputs, signs, strict=True):
        if value is not None:
            yield from _branch(draft, value, own)


def _branch(draft: Draft, value: ir.Value, sign: float) -> Iterator[Branch]:
    producer = value.producer()
    site = None if producer is None else draft.sites.get(producer)
    if site is not None and site.held is None and _is_private(value):
        yield Branch(value, sign, site.source, site=site)
    elif producer is not None and is_operator(producer, *SUMS) and _is_private(value):
        yield from _branches(draft, producer, sign)
    elif producer is not None and is_operator(producer, "Conv") and _is_private(value):
        source = producer.inputs[0]
        yield Branch(value, sign, value if source is None else source, conv=producer)
    else:
        yield Branch(value, sign, value)


def _taps(conv: ir.Node) -> int:
    shape = None if conv.inputs[1] is None else conv.inputs[1].shape
    return 0 if shape is None else int(np.prod(shape.numpy()[2:]))


def _summed(group: Sequence[Branch], base: ir.Node) -> tuple[Geometry, Array, Array]:
    """The one convolution that computes all branches.

    Raises:
        RefusalError: They do not stand on one grid, or the result does not fit its type.
    """
    weight = doubled(base.inputs[1], "the weight")
    like = geometry_of(base, weight)
    parts = [_part(branch, like, weight.shape) for branch in group]
    geometry = common([part[0] for part in parts])
    total = sum(
        branch.sign * embedded(part[1], part[0], geometry)
        for branch, part in zip(group, parts, strict=True)
    )
    bias = sum(branch.sign * part[2] for branch, part in zip(group, parts, strict=True))
    dtype = base.outputs[0].dtype or ir.DataType.FLOAT
    check_rounds(np.asarray(total), dtype, base, 0)
    check_rounds(np.asarray(bias), dtype, base)
    return geometry, np.asarray(total), np.asarray(bias)


def _part(branch: Branch, like: Geometry, shape: tuple[int, ...]) -> tuple[Geometry, Array, Array]:
    """Geometry, weight and bias of one branch."""
    if branch.conv is not None:
        weight = doubled(branch.conv.inputs[1], "the weight")
        bias = branch.conv.inputs[2] if len(branch.conv.inputs) > 2 else None
        added = np.zeros(weight.shape[0]) if bias is None else doubled(bias, "the bias")
        if weight.shape[:2] != shape[:2]:
            raise RefusalError("the branches differ in their channels")
        return geometry_of(branch.conv, weight), weight, added
    outputs, per_group = shape[:2]
    rank = len(shape) - 2
    if outputs != per_group * like.groups or any(step != 1 for step in like.strides):
        raise RefusalError("the branch beside the convolution has another shape")
    affine = Affine.identity(rank + 2) if branch.site is None else branch.site.affine
    vector = per_channel(affine, 1, outputs, "the branch")
    ones = (1,) * rank
    point = Geometry(ones, ones, like.dilations, (0,) * rank, (0,) * rank, like.groups)
    return point, diagonal(vector.scale, per_group, rank), np.array(vector.shift)


def diagonal(scale: Array, per_group: int, rank: int) -> Array:
    """The 1x1 kernel that multiplies every channel, shape (C, C / groups, 1, ...)."""
    channels = len(scale)
    weight = np.zeros((channels, per_group, *(1,) * rank))
    index = np.arange(channels)
    weight.reshape(channels, per_group)[index, index % per_group] = scale
    return weight


def geometry_of(conv: ir.Node, weight: Array) -> Geometry:
    """The geometry of a convolution.

    Raises:
        RefusalError: Its padding depends on the size of its input.
    """
    rank, attributes = weight.ndim - 2, conv.attributes
    auto_pad = attributes.get_string("auto_pad", "NOTSET")
    if auto_pad.startswith("SAME"):
        raise RefusalError("the padding of a branch depends on the size of its input")
    pads = attributes.get_ints("pads", ()) if auto_pad == "NOTSET" else ()
    pads = tuple(pads) or (0,) * 2 * rank
    return Geometry(
        weight.shape[2:],
        tuple(attributes.get_ints("strides", ()) or (1,) * rank),
        tuple(attributes.get_ints("dilations", ()) or (1,) * rank),
        pads[:rank],
        pads[rank:],
        attributes.get_int("group", 1),
    )


def common(parts: Sequence[Geometry]) -> Geometry:
    """The smallest grid on which all of them stand.

    Raises:
        RefusalError: There is none, or it has more taps than all of them: a 1x5 kernel beside a
            5x1 one costs ten multiplications, a 5x5 one twenty-five.
    """
    first = max(parts, key=lambda part: math.prod(part.kernel))
    for part in parts:
        same = (part.strides, part.growth, part.groups) == (
            first.strides,
            first.growth,
            first.groups,
        )
        if not same:
            raise RefusalError("the branches differ in strides, groups or size")
    before = tuple(max(sizes) for sizes in zip(*(part.before for part in parts), strict=True))
    reach = tuple(max(sizes) for sizes in zip(*(part.reach for part in parts), strict=True))
    for part in parts:
        for axis, step in enumerate(first.dilations):
            off_grid = (before[axis] - part.before[axis]) % step != 0
            if off_grid or (part.kernel[axis] > 1 and part.dilations[axis] != step):
                raise RefusalError("the taps of the branches stand between each other")
    axes = list(zip(before, reach, first.dilations, strict=True))
    kernel = tuple((b + r) // d + 1 for b, r, d in axes)
    if math.prod(kernel) > sum(math.prod(part.kernel) for part in parts):
        raise RefusalError("the branches have fewer taps than the one convolution would have")
    after = tuple(g + r for g, r in zip(first.growth, reach, strict=True))
    return Geometry(kernel, first.strides, first.dilations, before, after, first.groups)


def embedded(weight: Array, own: Geometry, whole: Geometry) -> Array:
    """A kernel in a larger one, its taps where they were."""
    result = np.zeros((*weight.shape[:2], *whole.kernel))
    window = tuple(
        slice((to - b) // d, (to - b) // d + k)
        for to, b, d, k in zip(whole.before, own.before, whole.dilations, own.kernel, strict=True)
    )
    region: tuple[Any, ...] = (..., *window)
    result[region] = weight
    return result


def _set_conv(draft: Draft, conv: ir.Node, geometry: Geometry, weight: Array, bias: Array) -> None:
    dtype = conv.outputs[0].dtype or ir.DataType.FLOAT
    draft.set_operand(conv, 1, weight, dtype)
    draft.set_operand(conv, 2, bias, dtype)
    pads = (*geometry.before, *geometry.after)
    conv.attributes["pads"] = ir.AttrInt64s("pads", pads)
    conv.attributes["kernel_shape"] = ir.AttrInt64s("kernel_shape", geometry.kernel)
    conv.attributes.pop("auto_pad", None)


def _join(draft: Draft, root: ir.Node, written: ir.Value) -> None:
    """Let the convolution write what the sum wrote; the other branches go."""
    old = root.outputs[0]
    written.shape, written.type = old.shape, old.type
    if old.is_graph_output():
        old.replace_all_uses_with(written, replace_graph_outputs=True)
        old.name, written.name = None, old.name
    else:
        old.replace_all_uses_with(written)
    prune(draft, root)
