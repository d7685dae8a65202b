"""Pooling, means, resizing, padding: which affines pass them, in front and behind."""

import numpy as np
import pytest

from tests.export.folding.sandwiches import Signs, behind, in_front, outcome, parameters
from tests.export.graphs import EXACT, Array, bn, folded, model, normal
from tests.export.oracle import difference

SQUARE = "kernel_shape=[2,2]"


@pytest.mark.parametrize("pads", ["", ",pads=[1,1,0,1]", ',auto_pad="SAME_UPPER"'])
def test_a_maximum_lets_an_affine_pass_that_keeps_the_order(pads: str) -> None:
    """Padding included: a maximum never sees what stands beside the image."""
    pool = f"b = MaxPool<{SQUARE}{pads},strides=[2,2]>(a)"

    assert outcome(behind(pool, of=parameters("positive"))).how == "folded_backward"
    assert outcome(in_front(pool, of=parameters("positive"))).how == "folded_forward"


@pytest.mark.parametrize("signs", ["mixed", "negative"])
def test_a_maximum_would_become_a_minimum_behind_a_negative_scale(signs: Signs) -> None:
    result = outcome(behind(f"b = MaxPool<{SQUARE}>(a)", of=parameters(signs)))

    assert result.how == "kept"
    assert "MaxPool 'b' takes a maximum" in result.reason
    assert "b" in result.entry.blocked_by


@pytest.mark.parametrize("operator", ["GlobalMaxPool(a)", "ReduceMax<axes=[2,3]>(a)"])
def test_a_maximum_of_the_whole_image_is_one_too(operator: str) -> None:
    assert outcome(behind(f"b = {operator}", of=parameters("positive"))).how == "folded_backward"
    assert outcome(behind(f"b = {operator}")).how == "kept"


@pytest.mark.parametrize(
    "attributes",
    [
        SQUARE,
        f"{SQUARE},pads=[1,1,1,1]",
        f"{SQUARE},ceil_mode=1,strides=[2,2]",
        f"{SQUARE},count_include_pad=1",
        f"{SQUARE},pads=[0,0,0,0],count_include_pad=1",
    ],
)
def test_a_mean_lets_every_affine_pass(attributes: str) -> None:
    assert outcome(behind(f"b = AveragePool<{attributes}>(a)")).how == "folded_backward"
    assert outcome(in_front(f"b = AveragePool<{attributes}>(a)")).how == "folded_forward"


@pytest.mark.parametrize(
    "pads",
    ["pads=[1,1,1,1]", "pads=[0,0,0,1]", 'auto_pad="SAME_UPPER"', "ceil_mode=1,strides=[2,2]"],
)
def test_a_mean_that_counts_zeros_beside_the_image_lets_scales_pass_alone(pads: str) -> None:
    pool = f"b = AveragePool<{SQUARE},{pads},count_include_pad=1>(a)"

    assert outcome(behind(pool, of=parameters(shifts=False))).how == "folded_backward"
    assert outcome(in_front(pool, of=parameters(shifts=False))).how == "folded_forward"
    result = outcome(in_front(pool))
    assert result.how == "kept"
    assert "AveragePool 'b' counts zeros beside its input" in result.reason


def test_what_a_mean_does_not_let_pass_is_added_behind_it() -> None:
    result = outcome(
        in_front(f"b = AveragePool<{SQUARE},pads=[1,1,1,1],count_include_pad=1>(a)"), "all"
    )

    assert result.how == "reduced"
    assert result.left == ["Add", "AveragePool", "Conv"]


@pytest.mark.parametrize(
    "operator",
    ["GlobalAveragePool(a)", "ReduceMean<axes=[2,3]>(a)", "ReduceMean<axes=[-1,-2],keepdims=1>(a)"],
)
def test_a_mean_of_the_whole_image_lets_every_affine_pass(operator: str) -> None:
    assert outcome(behind(f"b = {operator}")).how == "folded_backward"
    assert outcome(in_front(f"b = {operator}")).how == "folded_forward"


@pytest.mark.parametrize("operator", ["ReduceMean<axes=[2,3],keepdims=0>(a)"])
def test_a_mean_may_take_the_axes_with_it(operator: str) -> None:
    assert outcome(behind(f"b = {operator}")).how == "folded_backward"
    proto = in_front(f"b = {operator}", linear="Gemm<transB=1>(b, w)", weight=(3, 4))
    assert outcome(proto).how == "folded_forward"


@pytest.mark.parametrize("axes", ["axes=[1]", "axes=[0,1,2,3]"])
def test_a_mean_over_the_channels_lets_no_batch_norm_pass(axes: str) -> None:
    proto = in_front(f"b = ReduceMean<{axes}>(a)", weight=(3, 1, 1, 1))

    result = outcome(proto)

    assert result.how == "kept"
    assert "ReduceMean 'b' joins positions that are stored apart" in result.reason


def test_a_mean_over_every_axis_has_no_axes_to_name() -> None:
    proto = in_front("b = ReduceMean(a)", weight=(3, 1, 1, 1))

    assert "joins positions" in outcome(proto).reason


def test_a_mean_that_is_told_to_do_nothing_over_no_axes_is_left_alone() -> None:
    proto = in_front("b = ReduceMean<noop_with_empty_axes=1>(a)", opset=18)

    after, report = folded(proto)

    assert report.nodes[0].outcome == "kept"
    assert len(after.graph.node) == len(proto.graph.node)


def test_a_sum_counts_a_shift_more_than_once() -> None:
    total = "b = ReduceSum<keepdims=1>(a, axes)"
    axes = {"axes": np.array([2, 3])}

    assert outcome(in_front(total, axes, of=parameters(shifts=False))).how == "folded_forward"
    result = outcome(in_front(total, axes))
    assert result.how == "kept"
    assert "ReduceSum 'b' would count a shift more than once" in result.reason


def test_the_positions_of_a_maximum_are_not_stored_otherwise() -> None:
    """Nothing else can read them: a pool that puts them out needs its tensors as they are."""
    proto = model(
        f"c = Conv(x, w) p, i = MaxPool<{SQUARE}>(c) {bn('p')}",
        {"w": normal(3, 4, 1, 1), **parameters("positive", channels=3)},
        inputs="double[n,4,6,5] x",
        outputs="double[n,3,5,4] y, int64[n,3,5,4] i",
    )

    _, report = folded(proto, "safe")

    assert "puts out more than its data" in str(report.nodes[0].reason)


RESIZES = [
    'mode="nearest",coordinate_transformation_mode="asymmetric",nearest_mode="floor"',
    'mode="linear",coordinate_transformation_mode="half_pixel"',
    'mode="linear",coordinate_transformation_mode="align_corners"',
]


@pytest.mark.parametrize("attributes", RESIZES)
def test_resizing_lets_every_affine_pass(attributes: str) -> None:
    operator, scales = (
        f"b = Resize<{attributes}>(a, , s)",
        {"s": np.array([1, 1, 2, 2], np.float32)},
    )

    assert outcome(behind(operator, scales)).how == "folded_backward"
    assert outcome(in_front(operator, scales)).how == "folded_forward"


CROP = 'mode="linear",coordinate_transformation_mode="tf_crop_and_resize"'
ROI = {"roi": np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32), "sizes": np.array([2, 4, 4, 4])}


def test_resizing_that_leaves_the_image_puts_zeros_there() -> None:
    operator = f"b = Resize<{CROP}>(a, roi, , sizes)"

    assert fold_only(operator, parameters(shifts=False)) == ("folded_forward", "")
    how, reason = fold_only(operator, parameters())
    assert (how, "Resize 'b' would count a shift" in reason) == ("kept", True)


def test_or_another_number() -> None:
    operator = f"b = Resize<{CROP},extrapolation_value=1.5>(a, roi, , sizes)"

    how, reason = fold_only(operator, parameters(shifts=False))

    assert (how, "Resize 'b' puts in a fixed number" in reason) == ("kept", True)


def fold_only(operator: str, of: dict[str, Array]) -> tuple[str, str]:
    """For what PyTorch cannot compute."""
    proto = in_front(operator, ROI, of=of)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    entry = folded(proto, "safe")[1].nodes[0]
    return entry.outcome, entry.reason or ""


def test_resizing_the_channels_is_no_resizing_of_an_image() -> None:
    operator = f"b = Resize<{RESIZES[0]}>(a, , s)"
    proto = in_front(operator, {"s": np.array([1, 2, 1, 1], np.float32)}, weight=(3, 8, 1, 1))

    _, report = folded(proto, "safe")

    assert report.nodes[0].outcome == "kept"
    assert "joins positions" in str(report.nodes[0].reason)


@pytest.mark.parametrize("mode", ["reflect", "edge"])
def test_padding_with_the_image_itself_lets_every_affine_pass(mode: str) -> None:
    operator, pads = f'b = Pad<mode="{mode}">(a, p)', {"p": np.array([0, 0, 1, 0, 0, 0, 1, 2])}

    assert outcome(behind(operator, pads)).how == "folded_backward"
    assert outcome(in_front(operator, pads)).how == "folded_forward"


PADS = {"p": np.array([0, 0, 1, 0, 0, 0, 1, 2])}


def test_padding_with_zeros_lets_scales_pass_alone() -> None:
    assert outcome(in_front("b = Pad(a, p)", PADS, of=parameters(shifts=False))).how == (
        "folded_forward"
    )
    result = outcome(in_front("b = Pad(a, p)", PADS))
    assert result.how == "kept"
    assert "Pad 'b' puts the same number beside every channel" in result.reason


def test_padding_with_a_number_is_told_how_that_is_stored() -> None:
    """One scale and shift for all channels."""
    of = {name: np.full(4, value) for name, value in
          {"bn_gamma": 0.5, "bn_beta": 0.3, "bn_mean": 0.2, "bn_var": 2.0}.items()}  # fmt: skip
    given = {**PADS, "v": np.array(0.7)}

    assert outcome(in_front("b = Pad(a, p, v)", given, of=of)).how == "folded_forward"
    assert outcome(behind("b = Pad(a, p, v)", given, of=of)).how == "folded_backward"
    assert outcome(behind("b = Pad(a, p)", PADS, of=of)).how == "folded_backward"
    result = outcome(behind("b = Pad(a, p, v)", given))
    assert "stored differently in each" in result.reason


@pytest.mark.parametrize("value", ["", ",value=0.75"])
def test_the_pad_of_opset_10_has_its_number_in_an_attribute(value: str) -> None:
    """An attribute is a float32: the numbers here are such that it holds them."""
    proto = model(
        f"s = Mul(x, half) a = Add(s, half) b = Pad<pads=[0,0,1,0,0,0,1,2]{value}>(a) "
        "y = Conv(b, w)",
        {"half": np.array(0.5), "w": normal(3, 4, 1, 1)},
        inputs="double[n,4,6,5] x",
        outputs="double[n,3,8,7] y",
        opset=10,
    )

    after, report = folded(proto, "safe")

    assert [node.outcome for node in report.nodes] == ["folded_forward"]
    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT


def test_padding_of_the_channels_bars_what_differs_between_them() -> None:
    pads = {"p": np.array([0, 1, 0, 0, 0, 0, 0, 0])}
    proto = in_front("b = Pad(a, p)", pads, of=parameters(shifts=False), weight=(3, 5, 1, 1))

    assert "joins positions that are stored apart" in outcome(proto).reason


def test_padding_names_its_axes_since_opset_18() -> None:
    pads = {"p": np.array([1, 2]), "axes": np.array([-1])}
    proto = in_front("b = Pad(a, p, , axes)", pads, of=parameters(shifts=False), opset=18)

    assert outcome(proto).how == "folded_forward"


def test_a_pad_of_computed_size_is_left_alone() -> None:
    proto = in_front("p = Abs(q) b = Pad(a, p)", {"q": PADS["p"]}, of=parameters(shifts=False))

    _, report = folded(proto, "safe")

    assert "the pads of Pad 'b' is computed in the graph, by Abs 'p'" in str(report.nodes[0].reason)


def test_a_pooling_of_one_spatial_axis_is_no_other() -> None:
    pooling = behind("b = AveragePool<kernel_shape=[3]>(a)", size=(4, 9))

    assert outcome(pooling).how == "folded_backward"
