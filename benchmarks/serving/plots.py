"""The summary as pictures: rates, latencies, and what they cost."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.serving.servers import OURS
from benchmarks.serving.summary import Section
from benchmarks.serving.table import significant
from training import drawing

COLORS = {True: drawing.BLUE["color"], False: "0.75"}  # ours, and the others
INCHES = (7.0, 0.32)  # width, and height of a bar
MARGIN = 1.2  # inches for titles and axes
# File name: the number of a row, and what the axis says.
PLOTS = {
    "rate": ("rate", "requests a second"),
    "p50": ("p50_ms", "median latency, ms"),
    "p99": ("p99_ms", "99th percentile of latency, ms"),
    "cpu": ("cpu_ms", "processor time, ms a request"),
    "memory": ("pss_mb", "memory of all processes (PSS), MB"),
    "start": ("start_s", "start to the first right answer, s"),
}


def draw(sections: Sequence[Section], folder: Path) -> list[Path]:
    """One picture a number, one panel a load.

    Returns:
        The files.
    """
    files = []
    for name, (number, label) in PLOTS.items():
        files.append(folder / f"{name}.svg")
        _figure(sections, number, label).savefig(files[-1], bbox_inches="tight")
    return files


def _figure(sections: Sequence[Section], number: str, label: str) -> Figure:
    width, bar = INCHES
    heights = [len(section.lines) * bar + MARGIN for section in sections]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    panels = figure.subplots(len(sections), 1, squeeze=False, height_ratios=heights)
    for panel, section in zip(panels[:, 0], sections, strict=True):
        _panel(panel, section, number)
        panel.set_xlabel(label)
    return figure


def _panel(panel: Axes, section: Section, number: str) -> None:
    known = [line for line in section.lines if line.failure is None and number in line.medians]
    values = [line.medians[number] for line in known]
    colors = [COLORS[line.server == OURS] for line in known]
    bars = panel.barh([line.server for line in known], values, color=colors)
    panel.bar_label(bars, [significant(value) for value in values], padding=3)
    panel.invert_yaxis()
    drawing.finish(panel)
    panel.set_title(section.title, loc="left", fontsize="medium")
    panel.margins(x=0.15)  # room for the numbers
