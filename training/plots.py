"""Pictures of a run: its curves, what it confuses with what, and examples of that."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training import atomic, drawing
from training.metrics import Mistake

_TRAIN: drawing.Style = drawing.ORANGE | {"label": "train (augmented)"}
_VALIDATION: drawing.Style = drawing.BLUE | {"label": "validation"}

_MOST_NUMBERED = 20  # classes; beyond that the counts would not fit into their cells
_LONGEST_LABEL = 24  # characters; a class may be called by a whole sentence

MOST_MISTAKES = 12
_MISTAKES_A_ROW = 4
_MISTAKE = (2.2, 2.6)  # inches
_SIGNAL = 2  # dimensions
_GRAY = 1  # channel
_CHANNELS = (drawing.BLUE, drawing.ORANGE, drawing.GREEN)  # of a signal, in turns


def curves(path: Path, history: Sequence[dict[str, Any]], best_epoch: int) -> None:
    """Draw loss and accuracy by epoch, the chosen epoch marked.

    Args:
        path: The PNG file.
        history: Rows with ``epoch`` and train and validation ``loss`` and ``accuracy``.
        best_epoch: From 1.
    """
    figure, both = drawing.panels(2)
    dots: drawing.Style = (
        {} if len(history) == 1 else {"marker": ""}
    )  # there is no line through one point
    for axes, quantity in zip(both, ("loss", "accuracy"), strict=True):
        epochs = [row["epoch"] for row in history]
        for split, style in (("train", _TRAIN), ("validation", _VALIDATION)):
            axes.plot(epochs, [row[f"{split}_{quantity}"] for row in history], **style | dots)
        axes.axvline(best_epoch, color="0.6", linewidth=1, zorder=0, label=f"epoch {best_epoch}")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
        drawing.finish(axes, title=quantity.capitalize(), xlabel="epoch")
    atomic.write(path, drawing.png(figure))


def confusion(path: Path, counts: NDArray[np.int64], labels: Sequence[str]) -> None:
    """Draw the confusion matrix: shares of each row by colour, counts as numbers.

    Args:
        path: The PNG file.
        counts: (classes, classes), rows are targets.
        labels: Class names.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [_shortened(label) for label in labels]
    # Inches: a cell of 0.45 holds a count of five digits, a letter is 0.08 wide.
    side = 3.0 + 0.45 * min(len(names), _MOST_NUMBERED) + 0.08 * max(map(len, names))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, shrink=0.75, label="share of the class")
    axes.set(xlabel="predicted", ylabel="actual", title=_title(counts))
    if len(labels) <= _MOST_NUMBERED:
        # A label is text: its dollar signs open no formula.
        axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
        axes.set_yticks(range(len(names)), names, parse_math=False)
        _number(axes, counts, shares)
    atomic.write(path, drawing.png(figure))


def mistakes(
    path: Path, inputs: NDArray[Any], found: Sequence[Mistake], labels: Sequence[str]
) -> None:
    """Draw samples that were taken for another class.

    Args:
        path: The PNG file.
        inputs: (N, channels, height, width) of images, (N, channels, length) of signals.
        found: At most as many as can be told apart, ``MOST_MISTAKES``.
        labels: Class names.
    """
    columns = min(_MISTAKES_A_ROW, max(1, len(found)))
    rows = max(1, -(-len(found) // columns))
    width, height = _MISTAKE
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels:
        axes.set(xticks=[], yticks=[])
    for mistake, axes in zip(found, panels, strict=False):
        _draw_input(axes, inputs[mistake.index])
        actual, predicted = (
            _shortened(labels[mistake.actual]),
            _shortened(labels[mistake.predicted]),
        )
        title = f"{actual}\ntaken for {predicted}\n({mistake.probability:.0%})"
        axes.set_title(title, fontsize="small", parse_math=False)
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    if not found:
        figure.suptitle("No mistakes")
    atomic.write(path, drawing.png(figure))


def _draw_input(axes: Axes, given: NDArray[Any]) -> None:
    if given.ndim == _SIGNAL:
        for channel, style in zip(given, cycle(_CHANNELS), strict=False):  # the styles never end
            axes.plot(channel, **style | {"marker": ""})
    elif len(given) == _GRAY:
        axes.imshow(given[0], cmap="gray", vmin=0, vmax=255)
    else:
        axes.imshow(given.transpose(1, 2, 0))


def _shortened(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"


def _title(counts: NDArray[np.int64]) -> str:
    total, correct = int(counts.sum()), int(np.trace(counts))
    return f"{correct} of {total} correct ({correct / max(total, 1):.2%})"


def _number(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "black" if shares[row, column] > 0.5 else "white"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=8)
