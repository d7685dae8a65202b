"""The ways to be rid of an affine: what each leaves to be computed, and when it is refused."""

from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from export.folding.affine import Affine
from export.folding.constants import RefusalError
from export.folding.draft import AffineSite
from export.folding.gauge import Gauge
from export.folding.moves import LARGEST_SHIFT, Candidate, reductions, removals, strain
from export.folding.recognition import chains
from tests.export.folding.sandwiches import parameters
from tests.export.graphs import (
    EXACT,
    IMAGE,
    WEIGHT,
    Array,
    bn,
    folded,
    kept_reason,
    model,
    norm,
    normal,
    op_types,
)
from tests.export.oracle import difference, error_after_fold

SHAPE = (1, 3, 1, 1)


def site(scales: list[float], shifts: list[float], deviation: float = 1.0) -> AffineSite:
    """An affine of three channels that reads numbers of mean 0."""
    proto = model("y = Mul(x, k)", {"k": np.ones(SHAPE)}, inputs="double[n,3,2,2] x",
                  outputs="double[n,3,2,2] y")  # fmt: skip
    graph = ir.from_proto(onnx.shape_inference.infer_shapes(proto)).graph
    (found,) = chains(iter(graph), 17)
    found.affine = Affine(np.array(scales).reshape(SHAPE), np.array(shifts).reshape(SHAPE))
    found.mean, found.deviation = np.zeros(SHAPE), np.full(SHAPE, deviation)
    return found


def made(ways: Iterator[Callable[[], Candidate]]) -> list[Candidate]:
    """The candidates that do not refuse."""
    found = []
    for make in ways:
        try:
            found.append(make())
        except RefusalError:
            continue
    return found


def through(candidate: Candidate, x: Array) -> Array:
    """What is meant behind the affine, by way of what a candidate stores and leaves to compute."""
    stored = x if candidate.before is None else candidate.before.encode(x)
    rest = candidate.rest or Affine.identity(4)
    computed = rest(stored)
    return computed if candidate.after is None else candidate.after.decode(computed)


@pytest.mark.parametrize("scales", [[2.0, 0.5, 3.0], [2.0, -0.5, 3.0], [-1.0, -2.0, -3.0]])
@pytest.mark.parametrize("shifts", [[1.0, -2.0, 3.0], [0.0, 0.0, 0.0]])
def test_every_way_means_what_the_affine_computes(scales: list[float], shifts: list[float]) -> None:
    one, x = site(scales, shifts), normal(2, 3, 2, 2)
    expected = one.affine(x)

    candidates = made(removals(one)) + made(reductions(one))

    assert len(candidates) >= 4
    for candidate in candidates:
        assert np.abs(through(candidate, x) - expected).max() <= EXACT


def test_a_way_that_forgets_the_shift_would_be_noticed() -> None:
    one, x = site([2.0, 0.5, 3.0], [1.0, -2.0, 3.0]), normal(2, 3, 2, 2)
    wrong = Candidate("split", None, None, Affine(one.affine.scale, np.zeros(SHAPE)))

    assert np.abs(through(wrong, x) - one.affine(x)).max() > 1e3 * EXACT


def test_what_is_positive_needs_no_sign() -> None:
    assert len(list(removals(site([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])))) < len(
        list(removals(site([1.0, -2.0, 3.0], [1.0, 1.0, 1.0])))
    )


def test_what_goes_forward_is_positive_once_the_sign_went_back() -> None:
    one = site([1.0, -2.0, 3.0], [1.0, 1.0, 1.0])

    signs = [c for c in made(removals(one)) if c.before is not None and c.after is not None]

    assert any(c.after is not None and c.after.keeps_order for c in signs)


def test_a_gamma_of_zero_goes_back_or_forward_as_a_whole_and_its_shift_alone_does_not() -> None:
    one = site([0.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    outcomes = [candidate.outcome for candidate in made(removals(one))]

    assert outcomes[:2] == ["folded_backward", "folded_forward"]
    with pytest.raises(RefusalError, match="its scale is 0 in channel 0"):
        list(removals(one))[2]()


def test_a_zero_without_a_shift_divides_nothing() -> None:
    for candidate in made(removals(site([0.0, 2.0, 1.0], [0.0, 1.0, 0.0]))):
        for gauge in (candidate.before, candidate.after):
            assert gauge is None or np.isfinite(gauge.primary.shift).all()


@pytest.mark.parametrize(("times", "is_refused"), [(0.9, False), (1.1, True)])
def test_a_shift_is_bounded_by_the_size_of_what_it_is_added_to(
    times: float, is_refused: bool
) -> None:
    """Four bits of 24 may be lost, no more."""
    one = site([1.0, 1.0, 1.0], [0.0, LARGEST_SHIFT * times * 5.0, 0.0], deviation=5.0)

    assert (backward_gauge(one).decoding is None) == is_refused
    assert strain(one) == pytest.approx(LARGEST_SHIFT * times)


def backward_gauge(one: AffineSite) -> Gauge:
    gauge = next(iter(removals(one)))().before
    assert gauge is not None
    return gauge


def test_a_scale_alone_is_as_small_as_it_gets() -> None:
    outcomes = [c.rest for c in made(reductions(site([2.0, 1.0, 1.0], [0.0, 0.0, 0.0])))]

    assert all(rest is not None and rest.only_scales for rest in outcomes)


def test_a_sum_of_two_matrix_products_takes_a_batch_norm_in_both() -> None:
    proto = model(
        f"m = MatMul(x, w) k = MatMul(x, v) c = Add(m, k) {bn('c')}",
        {"w": normal(4, 3), "v": normal(4, 3, seed=2), **norm(3)},
        inputs="double[n,4] x",
        outputs="double[n,3] y",
    )

    assert error_after_fold(proto, 5, 4) <= EXACT


def test_a_product_added_to_itself_is_left() -> None:
    proto = model(
        f"m = MatMul(x, w) c = Add(m, m) {bn('c')}",
        {"w": normal(4, 3), **norm(3)},
        inputs="double[n,4] x",
        outputs="double[n,3] y",
    )

    assert "Add 'c' reads one tensor twice" in kept_reason(proto)


def test_a_reader_that_needs_the_convolution_as_it_is_keeps_the_batch_norm() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'z')} r = Sigmoid(c) y = Add(z, r)",
        {**WEIGHT, **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    assert "Sigmoid 'r' needs its tensors as they are" in kept_reason(proto)


def test_a_reader_that_does_not_mind_is_told_what_it_reads() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'z')} r = Conv(c, v) s = Sigmoid(z) y = Add(s, r)",
        {**WEIGHT, "v": normal(3, 3, 1, 1), **parameters(channels=3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    assert error_after_fold(proto, 2, 4, 6, 5) <= EXACT


def test_a_convolution_that_is_an_output_keeps_the_batch_norm() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        {**WEIGHT, **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y, double[n,3,4,3] c",
    )

    assert "the output of Conv 'c' is an output of the graph" in kept_reason(proto)


@pytest.mark.parametrize("between", ["i = Identity(c) j = Identity(i)", "j = Dropout(c)"])
def test_what_carries_the_convolution_on_is_looked_through(between: str) -> None:
    proto = model(
        f"c = Conv(x, w) {between} {bn('j')}",
        {**WEIGHT, **norm(3)},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    assert error_after_fold(proto, 2, 4, 6, 5) <= EXACT


def test_a_batch_norm_at_the_input_and_the_output_is_left() -> None:
    proto = model(f"{bn('x')}", norm(4), inputs=IMAGE, outputs="double[n,4,6,5] y")

    reason = kept_reason(proto)

    assert "backward: 'x' is an input of the graph" in reason
    assert "forward: the output of BatchNormalization 'y' is an output of the graph" in reason


def test_a_chain_of_batch_norms_folds_as_one() -> None:
    proto = model(
        f"c = Conv(x, w) {bn('c', 'd')} {bn('d', prefix='two')}",
        {**WEIGHT, **norm(3), **norm(3, seed=7, prefix="two")},
        inputs=IMAGE,
        outputs="double[n,3,4,3] y",
    )

    after, report = folded(proto)

    assert report.bn_after == 0
    assert op_types(after) == ["Conv"]
    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT
