"""What an operator says about gauges: which of its tensors may be stored how, and at what change.

An entry of the table `operators.OPERATORS` has two functions:

    balance   given the gauges that are known around a node, yields the ways to complete them: each
              a gauge for every tensor around it that is not stored as it is. It raises
              `RefusalError` if there is none.
    rewrite   given the gauges of all tensors around it, says what the node becomes; absent where
              the node can stay as it is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from export.folding.affine import Array
from export.folding.constants import described, is_constant
from export.folding.draft import AffineSite, Draft
from export.folding.gauge import Gauge

Gauges = Mapping[ir.Value, Gauge]
Change = Callable[[Array], Array]  # what it does to the array of a gauge


@dataclass(frozen=True)
class Spot:
    """A node and the gauges that are known around it.

    Attributes:
        node: The node.
        gauges: Of the tensors of the graph that are not stored as they are.
        draft: The graph.
        clamps: Whether an activation may become a bound for each channel.
    """

    node: ir.Node
    gauges: Gauges
    draft: Draft
    clamps: bool = True

    @property
    def described(self) -> str:
        """The node as it is named in a sentence."""
        return described(self.node)

    @property
    def output(self) -> ir.Value:
        """Its first output."""
        return self.node.outputs[0]

    @property
    def site(self) -> AffineSite | None:
        """The affine that this node is a part of."""
        return self.draft.sites.get(self.node)

    def operand(self, index: int) -> ir.Value:
        """One of its operands, which is there."""
        value = self.node.inputs[index]
        if value is None:  # pragma: no cover - the checker refuses such a graph
            raise TypeError(f"{self.described} lacks operand {index}")
        return value

    def of(self, value: ir.Value) -> Gauge | None:
        """How a tensor is stored; None where nothing says that it is not stored as it is."""
        return self.gauges.get(value)

    def tensors(self) -> list[ir.Value]:
        """Its operands that are no constants."""
        return [value for value in self.node.inputs if value is not None and not is_constant(value)]


@dataclass(frozen=True)
class Step:
    """One operator of what a node becomes.

    Attributes:
        op_type: Its operator, of ONNX itself.
        constants: New constant operands by their index, in float64.
        attributes: Its attributes; None keeps those of the node.
        data: Which of the node's operands it reads first; the second and later steps read the
            result of the step before instead.
    """

    op_type: str
    constants: Mapping[int, Array] = field(default_factory=dict)
    attributes: Sequence[ir.Attr] | None = None
    data: int = 0


@dataclass(frozen=True)
class Rewriting:
    """What a node becomes.

    Attributes:
        steps: Its operators, one after the other; a single one keeps the node's other operands.
        clamps: Whether an activation becomes a bound for each channel.
    """

    steps: tuple[Step, ...]
    clamps: bool = False


Balance = Callable[[Spot], Iterator[Gauges]]
Rewrite = Callable[[Spot], Rewriting | None]


@dataclass(frozen=True)
class Operator:
    """How an operator treats gauges; the module says what the two functions do."""

    balance: Balance
    rewrite: Rewrite | None = None
