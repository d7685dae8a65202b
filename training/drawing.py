"""One style for every picture that training draws.

Okabe and Ito's colours (jfly.uni-koeln.de/color) are told apart by everyone; line styles and
markers tell them apart in grey.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Style = dict[str, Any]
"""Of a line: colour, dashes and marker."""

ORANGE: Style = {"color": "#E69F00", "linestyle": "--", "marker": "s"}
BLUE: Style = {"color": "#0072B2", "linestyle": "-", "marker": "o"}
GREEN: Style = {"color": "#009E73", "linestyle": "-.", "marker": "^"}
PINK: Style = {"color": "#CC79A7", "linestyle": ":", "marker": "D"}
BLACK: Style = {"color": "#000000", "linestyle": "-", "marker": "v"}

PANEL = (5.0, 4.0)  # inches, of one of the pictures beside each other


def panels(count: int) -> tuple[Figure, Sequence[Axes]]:
    """Make a figure of panels beside each other."""
    width, height = PANEL
    figure = Figure(figsize=(width * count, height), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def finish(axes: Axes, **labels: Any) -> None:
    """Give axes their labels, a grid and, where there is something to tell apart, a legend.

    Args:
        axes: Drawn already.
        labels: ``title``, ``xlabel``, ``ylabel``, ``xscale`` and the like, as `Axes.set` has them.
    """
    axes.set(**labels)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False)


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file."""
    FigureCanvasAgg(figure)
    content = BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()
