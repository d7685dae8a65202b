"""What became of every batch norm: the report of a fold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["batch_norm", "affine"]
Outcome = Literal[
    "folded_backward", "folded_forward", "split", "merged", "clamped", "reduced", "kept"
]


@dataclass(frozen=True)
class AffineOutcome:
    """What became of one batch norm, or of one chain of operators that is an affine like it.

    Attributes:
        name: Its node's name; of a chain that of the last node.
        kind: "batch_norm" for a BatchNormalization node, "affine" for a chain of Mul, Add, Sub
            or Div with constants, as Keras writes its batch norms.
        outcome: Where it went:
            "folded_backward" into what computes its input, "folded_forward" into what reads its
            output, "split" between the two, "merged" with a branch beside it, "clamped": the
            activation behind or before it has taken a part (a ReLU became a Max or Min per
            channel), "reduced" to one Mul or Add, or "kept" as it was.
        into: The names of the nodes whose constants took it in.
        through: The names of the tensors that hold other numbers now than before.
        reason: Why it stayed, or why something of it did.
        blocked_by: The names of the nodes that forbid more.
    """

    name: str
    kind: Kind
    outcome: Outcome
    into: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    reason: str | None = None
    blocked_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Which moves a fold took, and why these.

    Attributes:
        mode: What was asked for.
        target: The device that it was decided for.
        chosen: The moves taken: "safe", "all", or a name of what lies between.
        basis: What it rests on: that they were asked for, that every mode gives the same model,
            that they measured faster, or a rule for a device that is not here.
        text: One sentence for people.
    """

    mode: Literal["safe", "fast", "all"]
    target: Literal["cpu", "cuda"]
    chosen: str
    basis: Literal["asked", "nothing to choose", "measured", "rule"]
    text: str


@dataclass(frozen=True)
class FoldReport:
    """What became of every batch norm and affine chain of a model, in the order of the graph.

    Attributes:
        nodes: One outcome for each.
        strains: Of those that may have cost digits, by name, how many times its typical size a
            tensor was shifted on the way.
    """

    nodes: tuple[AffineOutcome, ...]
    strains: Mapping[str, float] = field(default_factory=dict)

    @property
    def bn_before(self) -> int:
        """How many BatchNormalization nodes the model had."""
        return self._count("batch_norm")

    @property
    def bn_after(self) -> int:
        """How many batch norms have left an operator behind, reduced ones included."""
        return self._count("batch_norm", ("kept", "reduced"))

    @property
    def affines_before(self) -> int:
        """How many chains of Mul, Add, Sub or Div with constants the model had."""
        return self._count("affine")

    @property
    def affines_after(self) -> int:
        """How many of them have left an operator behind, reduced ones included."""
        return self._count("affine", ("kept", "reduced"))

    @property
    def kept(self) -> tuple[AffineOutcome, ...]:
        """What stayed as it was."""
        return tuple(node for node in self.nodes if node.outcome == "kept")

    def _count(self, kind: Kind, outcomes: tuple[Outcome, ...] | None = None) -> int:
        return sum(
            node.kind == kind and (outcomes is None or node.outcome in outcomes)
            for node in self.nodes
        )
