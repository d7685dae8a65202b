"""The moves: how the tensors around an affine may be stored so that nothing is left of it to do.

For ``y = s * x + t`` with one gauge on x and one on y:

    backward   x stored as s * x + t, y as it is
    forward    x as it is, y stored as x
    split      x stored as x + t/s or as s * x, y as the rest; or x with the sign of s, so that what
               goes forward is positive and passes a maximum or a ReLU

An affine that cannot go as a whole may be reduced to one Mul or one Add.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from export.folding.affine import Affine, Array
from export.folding.constants import RefusalError
from export.folding.draft import AffineSite
from export.folding.gauge import Gauge, decoding, encoding
from export.folding.report import Outcome

# A tensor that is stored shifted by this many times its typical size loses two of its 24 bits. With
# 16, DenseNet-121 of random weights was 3.8 times as far off float64 as unfolded, with 4 1.5 times.
LARGEST_SHIFT = 4.0


@dataclass(frozen=True)
class Candidate:
    """One way to be rid of an affine, or of a part of it.

    Attributes:
        outcome: What the report calls it.
        before: How to store its input; None means as it is.
        after: How to store its output; None means as it is.
        rest: What is still to be computed between the two; None means nothing.
    """

    outcome: Outcome
    before: Gauge | None = None
    after: Gauge | None = None
    rest: Affine | None = None

    def gauges(self, site: AffineSite) -> Mapping[ir.Value, Gauge]:
        """The gauges to start from."""
        ends = ((site.source, self.before), (site.output, self.after))
        return {value: gauge for value, gauge in ends if gauge is not None}


def removals(site: AffineSite) -> Iterator[Callable[[], Candidate]]:
    """The ways to be rid of an affine, the simplest first; each may refuse when it is made."""
    signed = bool((site.affine.scale < 0).any())
    yield lambda: _backward(site)
    yield lambda: _forward(site)
    yield lambda: _shift_back(site)
    yield lambda: _scale_back(site)
    if signed:
        yield lambda: _sign_back(site)
        yield lambda: _sign_and_shift_back(site)


def reductions(site: AffineSite) -> Iterator[Callable[[], Candidate]]:
    """The ways to leave fewer operators of an affine: itself as one, or one Mul, or one Add."""
    affine = site.affine
    if site.cost > site.cost_of(affine):
        yield lambda: Candidate("reduced", rest=affine)
    if affine.only_scales or affine.only_shifts:
        return
    zero, one = _nothing(site)
    yield lambda: Candidate("reduced", _only_scale(site), None, Affine(one, affine.shift))
    yield lambda: Candidate(
        "reduced", None, decoding(Affine(affine.scale, zero)), Affine(one, _quotient(site))
    )
    yield lambda: Candidate(
        "reduced", None, decoding(Affine(one, affine.shift)), Affine(affine.scale, zero)
    )
    yield lambda: Candidate("reduced", _only_shift(site), None, Affine(affine.scale, zero))
    if (affine.scale < 0).any():
        yield lambda: _sign_stays(site)


def _backward(site: AffineSite) -> Candidate:
    return Candidate("folded_backward", encoding(site.affine, _is_recoverable(site)))


def _forward(site: AffineSite) -> Candidate:
    return Candidate("folded_forward", None, decoding(site.affine))


def _shift_back(site: AffineSite) -> Candidate:
    zero, _ = _nothing(site)
    return Candidate("split", _only_shift(site), decoding(Affine(site.affine.scale, zero)))


def _scale_back(site: AffineSite) -> Candidate:
    _, one = _nothing(site)
    return Candidate("split", _only_scale(site), decoding(Affine(one, site.affine.shift)))


def _sign_back(site: AffineSite) -> Candidate:
    affine, sign = site.affine, _sign(site)
    zero, _ = _nothing(site)
    forward = decoding(Affine(np.abs(affine.scale), affine.shift))
    return Candidate("split", encoding(Affine(sign, zero)), forward)


def _sign_and_shift_back(site: AffineSite) -> Candidate:
    affine, sign = site.affine, _sign(site)
    shift = sign * _quotient(site)
    zero, _ = _nothing(site)
    forward = decoding(Affine(np.abs(affine.scale), zero))
    return Candidate("split", encoding(Affine(sign, shift)), forward)


def _sign_stays(site: AffineSite) -> Candidate:
    affine = site.affine
    forward = decoding(Affine(np.abs(affine.scale), affine.shift))
    return Candidate("reduced", None, forward, Affine(_sign(site), _nothing(site)[0]))


def _only_shift(site: AffineSite) -> Gauge:
    return encoding(Affine(_nothing(site)[1], _quotient(site)))


def _only_scale(site: AffineSite) -> Gauge:
    return encoding(Affine(site.affine.scale, _nothing(site)[0]))


def _nothing(site: AffineSite) -> tuple[Array, Array]:
    """The shift that adds nothing and the scale that multiplies nothing, the same everywhere."""
    identity = Affine.identity(site.affine.scale.ndim)
    return identity.shift, identity.scale


def _sign(site: AffineSite) -> Array:
    return np.where(site.affine.scale < 0, -1.0, 1.0)


def _quotient(site: AffineSite) -> Array:
    """``t / s``: the shift in front of the scale.

    Raises:
        RefusalError: A scale is zero, or so small that the shift would drown the numbers.
    """
    ratio = _relative_shift(site)
    if not (ratio <= LARGEST_SHIFT).all():
        channel = int(np.argmax(ratio))
        scale = np.broadcast_to(site.affine.scale, ratio.shape).flat[channel]
        raise RefusalError(
            f"its scale is {scale:.3g} in channel {channel}: the shift in front of it would be "
            f"{ratio.flat[channel]:.3g} times as large as what it is added to"
        )
    moved = np.zeros(ratio.shape)  # and 0 where there is no shift, whatever the scale
    np.divide(site.affine.shift, site.affine.scale, out=moved, where=site.affine.shift != 0)
    return moved


def _is_recoverable(site: AffineSite) -> bool:
    """Whether what is stored behind the affine still has the digits of what was in front."""
    return bool((_relative_shift(site) <= LARGEST_SHIFT).all())


def strain(site: AffineSite) -> float:
    """How many times its typical size a tensor is shifted where this affine moves; see above."""
    return float(_relative_shift(site).max(initial=0.0))


def _relative_shift(site: AffineSite) -> Array:
    """``|t / s|`` in units of the typical size of x; infinite or not a number where s is 0."""
    typical = np.hypot(site.mean, site.deviation)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio: Array = np.abs(site.affine.shift / site.affine.scale) / typical
    return np.where(site.affine.shift == 0, 0.0, np.nan_to_num(ratio, nan=np.inf, posinf=np.inf))
