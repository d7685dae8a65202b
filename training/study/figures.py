"""The pictures of a study, each with a sentence for those who cannot see it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training import drawing
from training.models.config import Placement
from training.study.config import StudyConfig
from training.study.findings import Band, at_best_rate, best_rate, by, largest_rate, tested
from training.study.results import Result, Results
from training.study.trials import BOTH

_STYLES: Mapping[Placement, dict[str, Any]] = {
    "before": drawing.BLUE | {"label": "BN before the activation"},
    "after": drawing.GREEN | {"label": "BN after it"},
    "none": drawing.ORANGE | {"label": "without BN"},
}
_ACCURACY = {"ylabel": "accuracy", "ylim": (0, 1.02)}


def draw(config: StudyConfig, results: Results) -> dict[str, tuple[Figure, str]]:
    """Return every picture by its name, with what it shows."""
    return {
        "convergence": (
            _convergence(config, results),
            "Validation accuracy by step, each network at its own best learning rate; median and"
            " range of the seeds.",
        ),
        "rates": (
            _rates(results),
            "Held-out accuracy by learning rate: the article's network, after as many steps each.",
        ),
        "depths": (
            _depths(config, results),
            "Left: accuracy by depth at the best learning rate of each depth. Right: the largest"
            " learning rate with which every seed trains.",
        ),
        "scales": (
            _scales(results),
            "Accuracy by a factor of every first kernel of a convolution, at the best of a few"
            " learning rates.",
        ),
        "layers": (
            _layers(config, results),
            "By layer of the deepest network, before training and after it: standard deviation of"
            " what reaches the activation, and norm of the gradient.",
        ),
        "batches": (
            _batches(config, results),
            "Left: held-out accuracy by the size of the batches of training, which all saw as many"
            " samples. Right: by which statistics normalize at inference.",
        ),
    }


def _bands(axes: Axes, bands: Mapping[Any, Band], style: Mapping[str, Any]) -> None:
    x = list(bands)
    axes.plot(x, [band.middle for band in bands.values()], markersize=4, **style)
    least = [band.least for band in bands.values()]
    most = [band.most for band in bands.values()]
    axes.fill_between(x, least, most, color=style["color"], alpha=0.15, linewidth=0)


def _convergence(config: StudyConfig, results: Results) -> Figure:
    figure, (axes,) = drawing.panels(1)
    for placement, style in _STYLES.items():
        chosen = at_best_rate(results.of(purpose="rates", batch_norm=placement))
        curves = [result.outcome.validation for result in chosen if not result.outcome.diverged]
        bands = {
            looks[0][0]: Band(
                float(np.median([accuracy for _, accuracy in looks])),
                min(accuracy for _, accuracy in looks),
                max(accuracy for _, accuracy in looks),
            )
            for looks in zip(*curves, strict=True)
        }
        label = f"{style['label']}, rate {best_rate(chosen):g}"
        _bands(axes, bands, {**style, "label": label, "marker": ""})
    axes.axhline(config.article.target, color="0.6", linewidth=1, zorder=0)
    drawing.finish(axes, title="Convergence", xlabel="step", **_ACCURACY)
    return figure


def _rates(results: Results) -> Figure:
    figure, (axes,) = drawing.panels(1)
    for placement, style in _STYLES.items():
        found = results.of(purpose="rates", batch_norm=placement)
        _bands(axes, by("learning_rate", found, tested), style)
    drawing.finish(axes, title="Learning rates", xlabel="learning rate", xscale="log", **_ACCURACY)
    return figure


def _depths(config: StudyConfig, results: Results) -> Figure:
    figure, (left, right) = drawing.panels(2)
    for placement in BOTH:
        found = {
            depth: results.of(purpose="depths", batch_norm=placement, depth=depth)
            for depth in config.deep.depths
        }
        best = [result for each in found.values() for result in at_best_rate(each)]
        _bands(left, by("depth", best, tested), _STYLES[placement])
        largest = {depth: largest_rate(each, config.trains_at) for depth, each in found.items()}
        right.plot(
            list(largest), [rate or np.nan for rate in largest.values()], **_STYLES[placement]
        )
    for axes in (left, right):
        axes.set_xticks(config.deep.depths)
    drawing.finish(left, title="Depth", xlabel="convolutions", **_ACCURACY)
    drawing.finish(
        right,
        title="Largest learning rate that trains",
        xlabel="convolutions",
        ylabel="learning rate",
        yscale="log",
    )
    return figure


def _scales(results: Results) -> Figure:
    figure, (axes,) = drawing.panels(1)
    for placement in BOTH:
        found = results.of(purpose="scales", batch_norm=placement)
        scales = {result.trial.scale for result in found}
        best = [
            result
            for scale in scales
            for result in at_best_rate([each for each in found if each.trial.scale == scale])
        ]
        _bands(axes, by("scale", best, tested), _STYLES[placement])
    drawing.finish(
        axes, title="Scale of the first weights", xlabel="factor", xscale="log", **_ACCURACY
    )
    return figure


def _layers(config: StudyConfig, results: Results) -> Figure:
    figure, (left, right) = drawing.panels(2)
    depth = max(config.deep.depths)
    for placement in BOTH:
        found = at_best_rate(results.of(purpose="depths", batch_norm=placement, depth=depth))
        for moment, dash in (("first", ":"), ("last", "-")):
            seen = [each.outcome.layers[moment] for each in found if moment in each.outcome.layers]
            for axes, quantity in ((left, "std"), (right, "gradient")):
                _by_layer(axes, seen, quantity, placement, (moment, dash))
    for axes, title in ((left, "Standard deviation of activations"), (right, "Gradient norms")):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        drawing.finish(axes, title=title, xlabel="layer", yscale="log")
    return figure


def _by_layer(
    axes: Axes,
    seen: Sequence[Sequence[Mapping[str, float]]],
    quantity: str,
    placement: Placement,
    moment: tuple[str, str],
) -> None:
    when = {"first": "before training", "last": "after it"}[moment[0]]
    style = {**_STYLES[placement], "linestyle": moment[1]}
    style["label"] = f"{'without BN' if placement == 'none' else 'BN'}, {when}"
    values = [
        np.median([layer[quantity] for layer in layers]) for layers in zip(*seen, strict=True)
    ]
    # A gradient of exactly nothing has no place on a logarithmic axis.
    shown = [value if value > 0 else np.nan for value in values]
    axes.plot(range(1, len(shown) + 1), shown, markersize=4, **style)


def _batches(config: StudyConfig, results: Results) -> Figure:
    figure, (left, right) = drawing.panels(2)
    for placement in BOTH:
        found = results.of(purpose="batches", batch_norm=placement)
        _bands(left, by("batch_size", found, tested), _STYLES[placement])
    drawing.finish(left, title="Batches of training", xlabel="samples", **_ACCURACY)
    _in_doublings(left, config.article.batch_sizes)
    ends = min(config.article.batch_sizes), max(config.article.batch_sizes)
    for size, style in zip(ends, (drawing.PINK, drawing.BLUE), strict=True):
        learned = results.of(purpose="batches", batch_norm="before", batch_size=size)
        _by_statistics(right, learned, style)
    drawing.finish(right, title="Statistics at inference", xlabel="samples of a batch", **_ACCURACY)
    _in_doublings(right, config.article.inference_batch_sizes)
    return figure


def _in_doublings(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])


def _by_statistics(axes: Axes, learned: Sequence[Result], style: drawing.Style) -> None:
    """Accuracy by the size of the batch that normalizes itself, and by the running statistics."""
    size = learned[0].trial.batch_size
    names = [name for name in learned[0].outcome.inference if name.startswith("batch ")]
    own = [np.median([each.outcome.inference[name] for each in learned]) for name in names]
    sizes = [int(name.removeprefix("batch ")) for name in names]
    axes.plot(sizes, own, **style, label=f"learned with {size}: the batch's own")
    running = float(np.median([each.outcome.inference["running"] for each in learned]))
    label = f"learned with {size}: running"
    axes.axhline(running, color=style["color"], linewidth=1, label=label)
