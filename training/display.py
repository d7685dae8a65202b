"""What a training shows: two progress bars, a line an epoch, a table at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from training.checkpoint import Checkpoint


class Display:
    """Writes to one console; where that is not a terminal, the bars are left out."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<6}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._epochs = self._progress.add_task("epochs")
        self._steps = self._progress.add_task("steps")

    @contextmanager
    def running(self, done: int, epochs: int) -> Iterator[None]:
        """Show the bars while the block runs."""
        if done:
            self._console.print(f"resumed after epoch {done} of {epochs}")
        self._progress.update(self._epochs, completed=done, total=epochs)
        with self._progress:
            yield

    def epoch_begins(self, steps: int) -> None:
        """Empty the bar of steps."""
        self._progress.reset(self._steps, total=steps)

    def step(self) -> None:
        """One step further."""
        self._progress.advance(self._steps)

    def epoch_ends(self, row: dict[str, Any], epochs: int, *, best: bool) -> None:
        """Print what an epoch brought."""
        self._progress.advance(self._epochs)
        self._console.print(
            f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"
            f"  train {row['train_loss']:.4f} {row['train_accuracy']:7.2%}"
            f"  validation {row['validation_loss']:.4f} {row['validation_accuracy']:7.2%}"
            f"  {row['seconds']:.1f} s{'  chosen' if best else ''}",
            highlight=False,
            soft_wrap=True,
        )

    def say(self, message: str) -> None:
        """Print one line."""
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)


def result_table(checkpoint: Checkpoint, path: Path) -> Table:
    """What a finished run has made."""
    metrics = checkpoint.metrics
    samples, accuracy = metrics["samples"], metrics["accuracy"]
    table = Table("", "result", title=f"{checkpoint.data['name']}: {checkpoint.model_name}")
    table.add_row("held-out accuracy", f"{accuracy:.2%}")
    table.add_row("errors", f"{round(samples * (1 - accuracy))} of {samples}")
    parameters = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    table.add_row("parameters", f"{parameters:,}")
    table.add_row("input", " x ".join(str(extent) for extent in checkpoint.input.shape))
    table.add_row("checkpoint", Text(str(path), overflow="fold"))  # whole, and no markup
    return table


def result_document(checkpoint: Checkpoint, path: Path) -> dict[str, Any]:
    """What a finished run has made, for machines."""
    metrics = checkpoint.metrics
    return {
        "checkpoint": str(path),
        "data": checkpoint.data["name"],
        "model": checkpoint.model_name,
        "accuracy": metrics["accuracy"],
        "errors": round(metrics["samples"] * (1 - metrics["accuracy"])),
        "samples": metrics["samples"],
        "split": metrics["split"],
        "parameters": sum(parameter.numel() for parameter in checkpoint.model.parameters()),
        "input": list(checkpoint.input.shape),
    }
