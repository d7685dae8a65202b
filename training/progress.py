"""What is known after some epochs: their figures, and the weights chosen so far."""

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass
class Progress:
    """Grows by one row an epoch.

    The weights are chosen by validation accuracy: of all epochs within one standard error of the
    best, the latest (the one-standard-error rule; Hastie, Tibshirani, Friedman, "The Elements of
    Statistical Learning", 7.10). Within that error the samples cannot tell epochs apart, and a
    later one has the lower learning rate: where a few samples are all correct early, the first
    such epoch is luck.

    Attributes:
        history: One row per finished epoch, as in ``metrics.jsonl``.
        best_epoch: The chosen epoch (from 1), or 0.
        best: That epoch's weights.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        return len(self.history)

    def note(self, row: dict[str, Any], model: nn.Module, samples: int) -> bool:
        """Keep an epoch's row, and its weights if it is as good as any.

        Args:
            row: The epoch's figures.
            model: As it is after this epoch.
            samples: How many the validation accuracy was measured on.

        Returns:
            Whether this epoch is the chosen one now.
        """
        self.history.append(row)
        peak = max(entry["validation_accuracy"] for entry in self.history)
        if row["validation_accuracy"] < peak - standard_error(peak, samples):
            return False
        self.best_epoch = self.epochs
        self.best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        return True

    def out_of_patience(self, patience: int | None) -> bool:
        """Whether so many epochs have passed since the peak: of accuracy, then of loss."""
        if patience is None or not self.history:
            return False
        peak = max(self.history, key=_merit)
        return self.epochs - int(peak["epoch"]) >= patience


def standard_error(accuracy: float, samples: int) -> float:
    """Standard error of an accuracy, with two hits and two misses added to what was counted.

    Without them it would be zero where all samples are correct.
    Source: A. Agresti, B. Coull, "Approximate Is Better than Exact", 1998.
    """
    share = (accuracy * samples + 2) / (samples + 4)
    return math.sqrt(share * (1 - share) / (samples + 4))


def _merit(row: dict[str, Any]) -> tuple[float, float]:
    return row["validation_accuracy"], -row["validation_loss"]
