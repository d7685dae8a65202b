"""What is known after some epochs: their figures, and the best weights so far."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass
class Progress:
    """Grows by one row an epoch.

    Attributes:
        history: One row per finished epoch, as in ``metrics.jsonl``.
        best_epoch: The epoch (from 1) with the best validation so far, or 0.
        best: That epoch's weights.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        return len(self.history)

    def note(self, row: dict[str, Any], model: nn.Module) -> bool:
        """Keep an epoch's row, and its weights if none was better.

        Returns:
            Whether this epoch is the best now: by validation accuracy, then by validation loss.
        """
        best = self.history[self.best_epoch - 1] if self.best_epoch else None
        self.history.append(row)
        if best is not None and _merit(row) <= _merit(best):
            return False
        self.best_epoch = self.epochs
        self.best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        return True

    def out_of_patience(self, patience: int | None) -> bool:
        """Whether so many epochs have passed since the best one."""
        return patience is not None and self.epochs - self.best_epoch >= patience


def _merit(row: dict[str, Any]) -> tuple[float, float]:
    return row["validation_accuracy"], -row["validation_loss"]
