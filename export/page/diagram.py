"""A reliability diagram as inline SVG: accuracy by confidence, beside the line where both agree."""

from export.manifest import Manifest
from export.page.text import text
from export.wording import calibrated

SIDE = 280  # of the square from 0 to 1, in pixels
MARGIN = 44  # for the numbers and names of the axes
TICKS = (0.0, 0.5, 1.0)
LEAST_RADIUS, MOST_RADIUS = 3.0, 12.0  # of a bin, whose area goes by its samples


def reliability_diagram(reliability: Manifest | None) -> str:
    """The section of an artifact's probabilities; nothing where none were measured."""
    if reliability is None:
        return ""
    bins = reliability["bins"]
    most = max(each["samples"] for each in bins)
    described = "; ".join(
        f"confidence {each['confidence']:.2f}: {each['accuracy']:.2f} right of {each['samples']}"
        for each in bins
    )
    points = "".join(_bin(each, most) for each in bins)
    size = SIDE + 2 * MARGIN
    return (
        "<section><h2>How far its probabilities can be believed</h2>"
        f"<p>{text(calibrated(reliability))}.</p>"
        f'<svg class="reliability" role="img" viewBox="{-MARGIN} {-MARGIN // 2} {size} {size}" '
        f'width="{size}" height="{size}"><title>Reliability diagram</title>'
        f"<desc>{text(described)}</desc>{_axes()}"
        f'<path class="agree" d="M0 {SIDE}L{SIDE} 0"/>{points}</svg>'
        "<p>Each circle is the samples of about one confidence. Above the line the model is right"
        " more often than it says, below it less often.</p></section>"
    )


def _axes() -> str:
    lines = "".join(
        f'<path class="grid" d="M0 {_y(tick):g}H{SIDE}M{_x(tick):g} 0V{SIDE}"/>'
        f'<text x="{_x(tick):g}" y="{SIDE + 16}">{tick:g}</text>'
        f'<text x="-16" y="{_y(tick) + 4:g}">{tick:g}</text>'
        for tick in TICKS
    )
    return (
        f'{lines}<text x="{SIDE / 2:g}" y="{SIDE + 36}">probability of the first class</text>'
        f'<text transform="translate(-32 {SIDE / 2:g}) rotate(-90)">share that is right</text>'
    )


def _bin(each: Manifest, most: int) -> str:
    radius = max(LEAST_RADIUS, MOST_RADIUS * (each["samples"] / most) ** 0.5)
    center = f'cx="{_x(each["confidence"]):.1f}" cy="{_y(each["accuracy"]):.1f}"'
    return f'<circle {center} r="{radius:.1f}"/>'


def _x(share: float) -> float:
    return SIDE * share


def _y(share: float) -> float:
    return SIDE * (1 - share)
