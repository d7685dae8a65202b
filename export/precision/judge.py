"""What narrower numbers cost: top-1 on held-out samples, before and after."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export import deviation
from export.errors import PrecisionError
from export.precision.feeding import as_typed
from export.signature import Signature
from export.sources.original import Feeds

Run = Callable[[Feeds], deviation.Arrays]


@dataclass(frozen=True)
class Judgement:
    """Top-1 of two models on the same samples.

    Attributes:
        samples: How many.
        top1_agreement: Share on which both rank the same class first; None without rows to rank.
        accuracy_before: Share that the float32 model gets right; None where classes are not known.
        accuracy_after: Share that the narrow one gets right.
        one_class: The float32 model ranks the same class first on all of them. Then two models
            agree that compute different things, as an untrained one and a blind one do.
    """

    samples: int
    top1_agreement: float | None
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    one_class: bool = False

    @property
    def lost(self) -> float | None:
        """Points of 100: of accuracy, or of agreement where that is all; None if neither tells."""
        if self.accuracy_before is not None and self.accuracy_after is not None:
            share = self.accuracy_before - self.accuracy_after
        elif self.top1_agreement is not None and not self.one_class:
            share = 1 - self.top1_agreement
        else:
            return None
        # Shares of whole samples: to the sample, whatever the division left in the last bits.
        return 100 * round(share * self.samples) / self.samples


def judge(
    before: Run,
    after: Run,
    batches: Sequence[Feeds],
    targets: NDArray[np.int64] | None,
    taken: Signature,
) -> Judgement:
    """Run both models on the same inputs.

    Args:
        before: The float32 model.
        after: The narrow one.
        batches: Inputs of the float32 model.
        targets: Their classes, (N,), if they are known.
        taken: The narrow model's signature.

    Raises:
        PrecisionError: The narrow model puts out what is not finite.
    """
    expected = deviation.joined([before(feeds) for feeds in batches])
    actual = deviation.joined([after(as_typed(feeds, taken)) for feeds in batches])
    if not all(np.isfinite(array.astype(np.float64)).all() for array in actual):
        raise PrecisionError("the narrow model puts out numbers that are not finite")
    agreement = deviation.top1_agreement(expected, actual)
    count = len(expected[0])
    if agreement is None:
        return Judgement(count, None)
    if targets is None:
        return Judgement(count, agreement, one_class=_is_one_class(expected[0]))
    before_right, after_right = (_accuracy(one[0], targets) for one in (expected, actual))
    return Judgement(count, agreement, before_right, after_right)


def check(judgement: Judgement, allowed: float) -> None:
    """Refuse what costs too much.

    Args:
        judgement: What was measured.
        allowed: Points of top-1 that may be lost, of 100.

    Raises:
        PrecisionError: More was lost, or nothing tells how much.
    """
    lost = judgement.lost
    if lost is None and allowed < 100:
        reason = (
            f"all {judgement.samples} samples fall into one class: --held-out names others"
            if judgement.one_class
            else "the model puts out no row of numbers to rank"
        )
        raise PrecisionError(
            f"nothing tells what narrower numbers cost, since {reason}; --max-accuracy-drop 100 "
            "writes it unjudged"
        )
    if lost is not None and lost > allowed:
        raise PrecisionError(
            f"{_told(judgement)} on {judgement.samples} samples: {lost:.2f} points are more than "
            f"the {allowed:g} allowed; --max-accuracy-drop raises that"
        )


def _told(judgement: Judgement) -> str:
    if judgement.accuracy_before is None:
        return f"top-1 agrees for {judgement.top1_agreement:.2%}"
    return f"accuracy falls from {judgement.accuracy_before:.2%} to {judgement.accuracy_after:.2%}"


def _is_one_class(scores: NDArray[Any]) -> bool:
    """Whether more than one row was ranked, and all alike."""
    return len(scores) > 1 and len(set(scores.argmax(axis=1).tolist())) == 1


def _accuracy(scores: NDArray[Any], targets: NDArray[np.int64]) -> float:
    return float((scores.argmax(axis=1) == targets[: len(scores)]).mean())
