"""The graph while it is being folded: its affines, its new constants, its names.

New constants are held in float64 until the very end, however often a weight is changed, and
rounded once by `Draft.finish`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from export.folding.affine import Affine, Array, InexactError, cast, fits
from export.folding.constants import NdArray, RefusalError, constant, described


@dataclass(eq=False)
class AffineSite:
    """A place where the graph computes an affine: a batch norm, or a chain of Mul, Add, Sub, Div.

    Attributes:
        nodes: Its operators in order, each the only reader of the one before.
        operand: Which operand of the first is the tensor, and no constant.
        affine: What they do, of the rank of that tensor.
        mean: Typical mean of what it reads, shaped like the affine's arrays.
        deviation: Typical standard deviation of what it reads, likewise.
        held: Why it is to stay, None if it is not.
        changed: Whether `affine` is no longer what the nodes compute.
    """

    nodes: list[ir.Node]
    operand: int
    affine: Affine
    mean: Array
    deviation: Array
    held: str | None = None
    changed: bool = False

    @property
    def source(self) -> ir.Value:
        """What the first of them reads."""
        value = self.nodes[0].inputs[self.operand]
        if value is None:  # pragma: no cover - the checker refuses such a graph
            raise TypeError(f"{described(self.nodes[0])} has no input")
        return value

    @property
    def output(self) -> ir.Value:
        """What the last of them writes."""
        return self.nodes[-1].outputs[0]

    @property
    def has_batch_norm(self) -> bool:
        """Whether a BatchNormalization node is among them."""
        return any(node.op_type == "BatchNormalization" for node in self.nodes)

    @property
    def cost(self) -> int:
        """How many operators it takes to compute."""
        return len(self.nodes) if not self.changed else self.cost_of(self.affine)

    def cost_of(self, affine: Affine) -> int:
        """How many operators this site would take to compute another affine."""
        if affine.is_identity:
            return 0
        if affine.only_scales or affine.only_shifts:
            return 1
        return 1 if self.has_batch_norm and is_per_channel(affine) else 2


@dataclass(eq=False)
class Draft:
    """A graph that is being folded.

    Attributes:
        opset: The version of ONNX's operators.
        names: Every name of a value in the model; subgraphs share one name space.
        sites: The affines of the graph by each of their nodes.
        rounded: The types in which the new constants will be stored.
    """

    opset: int
    names: set[str]
    sites: dict[ir.Node, AffineSite] = field(default_factory=dict)
    rounded: dict[ir.Value, ir.DataType] = field(default_factory=dict)

    def add_site(self, site: AffineSite) -> None:
        """Make known what its nodes compute."""
        self.sites.update(dict.fromkeys(site.nodes, site))

    def remove_site(self, site: AffineSite) -> None:
        """Forget a site; its nodes stay."""
        for node in site.nodes:
            del self.sites[node]

    def unique(self, wanted: str) -> str:
        """`wanted`, with a number behind it if the model has that name already; taken from now."""
        name, count = wanted, 1
        while name in self.names:
            count += 1
            name = f"{wanted}_{count}"
        self.names.add(name)
        return name

    def set_operand(self, node: ir.Node, index: int, array: Array, dtype: ir.DataType) -> None:
        """Give a node a new constant operand, in place of what it has there.

        Args:
            node: The node, with at least `index` operands.
            index: Which operand.
            array: Its numbers.
            dtype: The type in which they will be stored.
        """
        while len(node.inputs) <= index:
            node.resize_inputs(len(node.inputs) + 1)
        old = node.inputs[index]
        if old is not None and old in self.rounded and len(old.uses()) == 1:
            self._hold(old, array)
            return
        name = _initializer_name(old) or self._operand_name(node, index)
        value = ir.Value(type=ir.TensorType(dtype))
        node.replace_input_with(index, value)
        if old is not None:
            self.drop_unused(old)
        value.name = self.unique(name if name not in self.names else f"{name}_folded")
        self.rounded[value] = dtype
        self._hold(value, array)
        _graph_of(node).register_initializer(value)

    def drop_unused(self, value: ir.Value) -> bool:
        """Take a constant that nobody reads any more out of its graph; say whether that was so."""
        graph = value.graph
        if not isinstance(graph, ir.Graph) or not value.is_initializer() or value.name is None:
            return False
        if value.uses() or value.is_graph_output() or value.is_graph_input():
            return False
        del graph.initializers[value.name]
        self.names.discard(value.name)
        self.rounded.pop(value, None)
        return True

    def finish(self) -> None:
        """Round every new constant to the type that its operator stores."""
        for value, dtype in self.rounded.items():
            if value.const_value is not None:
                array = cast(np.asarray(value.const_value.numpy(), np.float64), dtype.numpy())
                value.const_value = ir.tensor(array, dtype=dtype, name=value.name)
        self.rounded.clear()

    def _hold(self, value: ir.Value, array: Array) -> None:
        value.const_value = ir.tensor(np.asarray(array, np.float64), name=value.name)
        value.shape = ir.Shape(array.shape)

    def _operand_name(self, node: ir.Node, index: int) -> str:
        """The name of a bias after that of its weight; else one after the node."""
        weight = node.inputs[1] if len(node.inputs) > 1 else None
        if index == 2 and weight is not None and weight.name:
            stem = weight.name.removesuffix("_folded")
            ends = stem.endswith("weight")
            return f"{stem.removesuffix('weight')}bias" if ends else f"{stem}_bias"
        return f"{node.name or node.outputs[0].name or node.op_type}_constant"


def doubled(value: ir.Value | None, role: str) -> Array:
    """The float64 numbers of a constant; see `constants.constant`."""
    array: Array = numbers(value, role).astype(np.float64)
    return array


def numbers(value: ir.Value | None, role: str) -> NdArray:
    """The numbers of a constant, of any type of float."""
    return constant(value, role)


def check_rounds(
    array: Array, dtype: ir.DataType, node: ir.Node, channel_axis: int | None = None
) -> None:
    """Refuse numbers that cannot be stored in `dtype`.

    Raises:
        RefusalError: They overflow, or a channel of float16 weights underflows.
    """
    try:
        fits(array, dtype.numpy(), channel_axis)
    except InexactError as error:
        raise RefusalError(f"{error} of {described(node)}", node) from error


def dims(value: ir.Value | None) -> Sequence[int | str | None]:
    """The sizes of a value's axes: numbers, names, or None.

    Raises:
        RefusalError: Its rank is not known.
    """
    if value is None or value.shape is None:
        name = "" if value is None else f" of '{value.name}'"
        raise RefusalError(f"the rank{name} is not known")
    return [size if isinstance(size, int) else size.value for size in value.shape]


def is_per_channel(affine: Affine) -> bool:
    """Whether an affine varies along the channels at most, so that a batch norm computes it."""
    shape = np.broadcast_shapes(affine.scale.shape, affine.shift.shape)
    return len(shape) > 1 and all(size == 1 for axis, size in enumerate(shape) if axis != 1)


def _initializer_name(value: ir.Value | None) -> str | None:
    return value.name if value is not None and value.is_initializer() else None


def _graph_of(node: ir.Node) -> ir.Graph:
    graph = node.graph
    if not isinstance(graph, ir.Graph):  # pragma: no cover - functions are not folded into
        raise TypeError("a node that is folded stands in a graph")
    return graph
