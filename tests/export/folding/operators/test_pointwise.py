"""Clamps and homogeneous activations: what becomes of them, and what they refuse."""

import numpy as np
import pytest

from export.folding import Mode
from tests.export.folding.sandwiches import Signs, behind, in_front, outcome, parameters
from tests.export.graphs import EXACT, Array, bn, folded, model, norm, normal, op_types
from tests.export.oracle import difference

ROW = (4, 1, 1)


@pytest.mark.parametrize("mode", ["safe", "all"])
def test_a_relu_stays_a_relu_behind_a_positive_scale(mode: Mode) -> None:
    positive = parameters("positive", shifts=False)

    assert outcome(behind("b = Relu(a)", of=positive), mode).left == ["Conv", "Relu"]
    assert outcome(in_front("b = Relu(a)", of=positive), mode).left == ["Relu", "Conv"]


@pytest.mark.parametrize(
    ("signs", "left"),
    [
        ("positive", ["Conv", "Max"]),
        ("negative", ["Conv", "Min"]),
        ("mixed", ["Conv", "Max", "Min"]),
    ],
)
def test_a_relu_in_front_of_a_batch_norm_becomes_its_bounds(signs: Signs, left: list[str]) -> None:
    """``s * relu(y) + t = max(s * y + t, t)`` for s > 0."""
    result = outcome(behind("b = Relu(a)", of=parameters(signs)), "all")

    assert (result.how, result.left) == ("clamped", left)
    assert result.entry.into == ("b", "a")


@pytest.mark.parametrize(
    ("signs", "left"),
    [
        ("positive", ["Max", "Conv"]),
        ("negative", ["Min", "Conv"]),
        ("mixed", ["Max", "Min", "Conv"]),
    ],
)
def test_a_relu_behind_a_batch_norm_becomes_its_bounds(signs: Signs, left: list[str]) -> None:
    """``relu(s * x + t) = s * max(x, -t / s) + t`` for s > 0, and s and t go on."""
    result = outcome(in_front("b = Relu(a)", of=parameters(signs)), "all")

    assert (result.how, result.left) == ("clamped", left)


@pytest.mark.parametrize("operator", ["Relu(a)", "Clip(a, low, high)", "LeakyRelu(a)"])
def test_safe_bounds_no_channel_by_itself(operator: str) -> None:
    bounds = {"low": np.array(-0.2), "high": np.array(0.7)}
    for proto in (behind(f"b = {operator}", bounds), in_front(f"b = {operator}", bounds)):
        result = outcome(proto, "safe")
        assert result.how == "kept"
        assert result.left.count("Max") == result.left.count("Min") == 0
        assert "b" in result.entry.blocked_by


@pytest.mark.parametrize("signs", ["positive", "negative", "mixed"])
@pytest.mark.parametrize("bounds", ["low, high", "low", ", high"])
def test_a_clip_becomes_two_bounds_for_each_channel(signs: Signs, bounds: str) -> None:
    given = {"low": np.array(-0.2), "high": np.array(0.7)}
    for proto in (
        behind(f"b = Clip(a, {bounds})", given, of=parameters(signs)),
        in_front(f"b = Clip(a, {bounds})", given, of=parameters(signs)),
    ):
        result = outcome(proto, "all")
        assert result.how == "clamped"
        assert "BatchNormalization" not in result.left


def uniform(gamma: float, beta: float = 0.3) -> dict[str, Array]:
    return {
        "bn_gamma": np.full(4, gamma),
        "bn_beta": np.full(4, beta),
        "bn_mean": np.zeros(4),
        "bn_var": np.full(4, 2.0),
    }


@pytest.mark.parametrize("gamma", [0.5, -0.5])
def test_where_all_channels_are_alike_a_clip_stays_a_clip(gamma: float) -> None:
    given = {"low": np.array(-0.2), "high": np.array(0.7)}
    result = outcome(behind("b = Clip(a, low, high)", given, of=uniform(gamma)), "safe")

    assert (result.how, result.left) == ("folded_backward", ["Conv", "Clip"])


def test_and_a_relu_becomes_one_but_not_in_safe() -> None:
    """A Clip takes the time of a Relu, but runtimes fuse no Clip of such bounds."""
    proto = behind("b = Relu(a)", of=uniform(0.5))

    assert outcome(proto, "all").left == ["Conv", "Clip"]
    assert outcome(proto, "safe").how == "kept"


@pytest.mark.parametrize("opset", [6, 10])
def test_an_old_clip_has_its_bounds_in_attributes(opset: int) -> None:
    """An attribute is a float32: these numbers fit."""
    attributes = "<is_test=1>" if opset == 6 else ""
    proto = model(
        f"c = Conv(x, w) r = Clip<min=-1.0,max=2.0>(c) {bn('r', attributes=attributes)}",
        {
            "w": normal(4, 4, 1, 1),
            "bn_gamma": np.full(4, 0.5),
            "bn_beta": np.full(4, 0.25),
            "bn_mean": np.zeros(4),
            "bn_var": np.full(4, 1.0 - np.float64(np.float32(1e-5))),
        },
        inputs="double[n,4,6,5] x",
        outputs="double[n,4,6,5] y",
        opset=opset,
        ir_version=4,
    )
    if opset == 10:
        after, report = folded(proto, "safe")
        assert report.bn_after == 0
        assert difference(proto, after, normal(2, 4, 6, 5)) <= 1e-9  # -1 / 2 + 1 / 4 is exact


@pytest.mark.parametrize(("operator", "left"), [("Max", "Min"), ("Min", "Max")])
def test_a_bound_for_each_channel_is_told_how_that_is_stored(operator: str, left: str) -> None:
    given = {"k": normal(*ROW)}

    turned = outcome(behind(f"b = {operator}(a, k)", given, of=parameters("negative")), "safe")
    assert turned.left == ["Conv", left]
    kept = outcome(behind(f"b = {operator}(k, a)", given, of=parameters("positive")), "safe")
    assert kept.left == ["Conv", operator]


def test_a_constant_on_the_left_of_a_bound_goes_to_the_right() -> None:
    given = {"k": normal(*ROW)}

    result = outcome(behind("b = Max(k, a)", given, of=parameters("mixed")), "all")

    assert result.left == ["Conv", "Max", "Min"]


def test_a_bound_of_zero_on_the_left_is_a_relu() -> None:
    result = outcome(
        behind("b = Max(k, a)", {"k": np.zeros(())}, of=uniform(0.5, beta=0.0)), "safe"
    )

    assert result.how == "folded_backward"
    assert result.left in (["Conv", "Relu"], ["Conv", "Max"])


@pytest.mark.parametrize("operator", ["Max(a, d)", "Max(a, k, k)"])
def test_a_maximum_of_tensors_is_no_bound(operator: str) -> None:
    proto = behind(f"d = Sigmoid(x) b = {operator}", {"k": np.zeros(())}, of=parameters("positive"))

    assert "Max 'b' compares tensors" in outcome(proto, "all").reason


def test_a_bound_that_is_computed_is_none() -> None:
    proto = behind("d = Abs(k) b = Clip(a, d)", {"k": np.array(0.5)})

    result = outcome(proto, "all")

    assert result.how == "kept"
    assert "the min of Clip 'b' is computed in the graph, by Abs 'd'" in result.reason


def test_before_opset_8_a_max_does_not_broadcast() -> None:
    proto = behind("b = Relu(a)", opset=7)

    result = outcome(proto, "all")

    assert result.how == "kept"
    assert "of an opset whose Max does not broadcast" in result.reason


@pytest.mark.parametrize("operator", ["LeakyRelu<alpha=0.25>(a)", "PRelu(a, k)", "Abs(a)"])
def test_a_homogeneous_activation_lets_positive_scales_pass(operator: str) -> None:
    given, scales = {"k": normal(*ROW)}, parameters("positive", shifts=False)

    assert outcome(behind(f"b = {operator}", given, of=scales)).how == "folded_backward"
    assert outcome(in_front(f"b = {operator}", given, of=scales)).how == "folded_forward"


@pytest.mark.parametrize("operator", ["LeakyRelu(a)", "PRelu(a, k)", "Abs(a)"])
@pytest.mark.parametrize("of", [parameters("mixed", shifts=False), parameters("positive")])
def test_and_nothing_else(operator: str, of: dict[str, Array]) -> None:
    result = outcome(behind(f"b = {operator}", {"k": normal(*ROW)}, of=of))

    assert result.how == "kept"
    assert f"{operator.partition('(')[0]} 'b' takes positive scales only" in result.reason


def test_a_leaky_relu_leaves_one_add_of_a_batch_norm() -> None:
    result = outcome(behind("b = LeakyRelu(a)", of=parameters("positive")), "all")

    assert (result.how, result.left) == ("reduced", ["Conv", "LeakyRelu", "Add"])


def test_a_computed_slope_is_left_alone() -> None:
    proto = behind(
        "d = Abs(k) b = PRelu(a, d)", {"k": normal(*ROW)}, of=parameters("positive", shifts=False)
    )

    assert "PRelu 'b' has a slope that is computed" in outcome(proto).reason


def test_a_negation_lets_everything_pass() -> None:
    assert outcome(behind("b = Neg(a)")).how == "folded_backward"
    assert outcome(in_front("b = Neg(a)")).how == "folded_forward"


@pytest.mark.parametrize("operator", ["Sigmoid", "Tanh"])
def test_a_smooth_activation_needs_its_tensors_as_they_are(operator: str) -> None:
    for proto in (behind(f"b = {operator}(a)"), in_front(f"b = {operator}(a)")):
        result = outcome(proto, "all")
        assert result.how == "kept"
        assert f"{operator} 'b' needs its tensors as they are" in result.reason
        assert result.entry.blocked_by[0] in {"b", "y"}


def test_what_reads_only_the_shape_of_a_tensor_does_not_mind() -> None:
    proto = model(
        f"{bn('x', 'a')} s = Shape(a) c = Conv(a, w) y = Reshape(c, s)",
        {"w": normal(4, 4, 1, 1), **norm(4)},
        inputs="double[2,4,6,5] x",
        outputs="double[2,4,6,5] y",
    )

    after, report = folded(proto, "safe")

    assert report.nodes[0].outcome == "folded_forward"
    assert op_types(after) == ["Shape", "Conv", "Reshape"]
    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT


def test_a_bound_that_overflows_float16_stays_a_batch_norm() -> None:
    proto = model(
        f"c = Conv(x, w) r = Relu(c) {bn('r')}",
        {
            "w": normal(4, 4, 1, 1, dtype=np.float16) * np.float16(1e-3),
            "bn_gamma": np.array([1e3, 1e3, 1e3, 1e3], np.float32),
            "bn_beta": np.array([1e5, 1, 1, 1], np.float32),
            "bn_mean": np.zeros(4, np.float32),
            "bn_var": np.ones(4, np.float32),
        },
        inputs="float16[n,4,6,5] x",
        outputs="float16[n,4,6,5] y",
    )

    _, report = folded(proto)

    assert report.nodes[0].outcome == "kept"


def test_gammas_of_zero_behind_a_relu_put_out_their_shift() -> None:
    for proto in (behind("b = Relu(a)", of=zeros()), in_front("b = Relu(a)", of=zeros())):
        assert outcome(proto, "all").how == "clamped"


def test_and_behind_a_clip() -> None:
    given = {"low": np.array(-0.2), "high": np.array(0.7)}
    assert outcome(in_front("b = Clip(a, low, high)", given, of=zeros()), "all").how == "clamped"


def zeros() -> dict[str, Array]:
    given = parameters()
    given["bn_gamma"] *= np.array([0.0, 1.0, 0.0, 1.0])
    return given


def test_a_clip_without_bounds_lets_everything_pass() -> None:
    for proto in (behind("b = Clip(a)"), in_front("b = Clip(a)")):
        assert outcome(proto).how in {"folded_backward", "folded_forward"}
