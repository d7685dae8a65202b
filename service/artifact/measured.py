"""The parts of a manifest that say what was done to a model, and what was measured of it."""

from typing import Annotated, Literal

from pydantic import Field

from service.artifact.strict import Strict

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class FoldedNode(Strict):
    """What became of one batch norm, or of one chain of operators that is an affine like it."""

    name: str
    kind: Literal["batch_norm", "affine"]
    outcome: Literal[
        "folded_backward", "folded_forward", "split", "merged", "clamped", "reduced", "kept"
    ]
    into: tuple[str, ...]
    through: tuple[str, ...]
    reason: str | None
    blocked_by: tuple[str, ...]


class FoldedNodeV1(Strict):
    """The outcome of one batch norm, as format 1 knows it."""

    name: str
    outcome: str
    into: str | None
    reason: str | None


class FoldV1(Strict):
    """How many batch norms there were and are left, and what became of each, in format 1."""

    bn_before: Count
    bn_after: Count
    nodes: tuple[FoldedNodeV1, ...]


class Fold(Strict):
    """Which moves were taken, what they left, and what became of every batch norm and affine."""

    mode: Literal["safe", "fast", "all"]
    target: Literal["cpu", "cuda"]
    decision: str
    bn_before: Count
    bn_after: Count
    affines_before: Count
    affines_after: Count
    nodes: tuple[FoldedNode, ...]


class Precision(Strict):
    """The numbers that the graph computes with, where they are narrower than the source's."""

    kind: Literal["fp16", "int8"]
    top1_agreement: float | None
    accuracy_before: float | None
    accuracy_after: float | None
    samples: Count
    split: str | None
    calibration: str | None
    size_before: Count
    size_after: Count


class ParityV1(Strict):
    """The errors measured at export against a reference of higher precision."""

    reference: str
    samples: int
    seed: int
    max_abs_error: float
    max_rel_error: float
    unfolded_max_rel_error: float | None = None
    top1_agreement: float | None
    tolerance: float


class Parity(ParityV1):
    """The same, and how many times as far off the folded model is as the unfolded one."""

    error_ratio: float | None


class ReliabilityBin(Strict):
    """Held-out samples of about the same confidence, and how many of them were right."""

    confidence: Share
    accuracy: Share
    samples: Count


class Reliability(Strict):
    """How far probabilities can be believed, and what logits are divided by before the softmax."""

    temperature: Annotated[float, Field(gt=0)]
    fitted: bool
    ece_before: Share
    ece: Share
    samples: Count
    split: str
    bins: tuple[ReliabilityBin, ...]


class Metrics(Strict):
    """The accuracy on the held-out split."""

    accuracy: float
    samples: int
    split: str
