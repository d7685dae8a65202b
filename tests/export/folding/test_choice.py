"""Which moves are taken: as asked, by measuring, or by rule."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from export.folding import Mode, Target, fold
from export.folding.choice import NOISE, RULES, choose
from export.folding.engine import ALL, SAFE
from tests.export.folding.sandwiches import parameters
from tests.export.graphs import bn, model, norm, normal, op_types


def network(dtype: type[np.floating] = np.float64) -> onnx.ModelProto:
    """One batch norm that a clamp can take, and one of which an Add stays."""
    name = np.dtype(dtype).name.replace("float64", "double").replace("float32", "float")
    arrays = {
        "w": normal(4, 4, 1, 1),
        "v": normal(4, 4, 3, 3),
        **parameters(),
        **{key.replace("bn", "two"): array for key, array in parameters().items()},
    }
    return model(
        f"c = Conv(x, w) r = Relu(c) {bn('r', 'd')} s = Sigmoid(d) "
        f"{bn('s', 'e', prefix='two')} y = Conv<pads=[1,1,1,1]>(e, v)",
        {key: array.astype(dtype) for key, array in arrays.items()},
        inputs=f"{name}[n,4,6,5] x",
        outputs=f"{name}[n,4,6,5] y",
    )


def forward_only() -> onnx.ModelProto:
    """A batch norm that only the convolution behind it can take in."""
    return model(
        f"c = Conv(x, w) r = Relu(c) {bn('r', 'b')} y = Conv(b, v)",
        {"w": normal(4, 3, 1, 1), "v": normal(2, 4, 1, 1), **norm(4)},
        inputs="double[n,3,5,5] x",
        outputs="double[n,2,5,5] y",
    )


class Stopwatch:
    """Says how long each model takes by the operators that it has; the unfolded one takes 100."""

    def __init__(self, **costs: float) -> None:
        self.costs, self.calls = costs, 0

    def __call__(self, models: Sequence[ir.Model]) -> list[float]:
        self.calls += 1
        unfolded, *others = models
        assert [node.op_type for node in unfolded.graph].count("BatchNormalization") == 2
        return [100.0, *(self._time(one) for one in others)]

    def _time(self, one: ir.Model) -> float:
        present = {node.op_type for node in one.graph}
        return sum(self.costs.get(op_type, 0.0) for op_type in present) + 50


@pytest.mark.parametrize("mode", ["safe", "all"])
def test_what_is_asked_for_is_not_measured(mode: Mode) -> None:
    stopwatch = Stopwatch()

    folded = fold(network(), mode, measure=stopwatch)

    assert stopwatch.calls == 0
    assert (folded.decision.mode, folded.decision.chosen) == (mode, mode)
    assert folded.decision.basis == "asked"
    assert folded.latencies == {}


def test_safe_and_all_differ_in_bounds_and_additions() -> None:
    safe, everything = (op_types(fold(network(), mode).model) for mode in ("safe", "all"))

    assert safe == ["Conv", "Relu", "BatchNormalization", "Sigmoid", "BatchNormalization", "Conv"]
    assert everything == ["Conv", "Max", "Min", "Sigmoid", "Add", "Conv"]


@pytest.mark.parametrize(
    ("costs", "chosen"),
    [
        ({"Max": 10.0, "Add": 10.0}, "safe"),
        ({"Relu": 10.0, "Add": 30.0}, "safe and clamps"),
        ({"Max": 30.0, "BatchNormalization": 0.0, "Add": -10.0}, "safe and reductions"),
        ({"BatchNormalization": 10.0}, "all"),
    ],
)
def test_the_fastest_of_all_sets_of_moves_is_taken(costs: dict[str, float], chosen: str) -> None:
    folded = fold(network(), "fast", measure=Stopwatch(**costs))

    assert folded.decision.basis == "measured"
    assert folded.decision.chosen == chosen
    assert chosen in folded.decision.text
    assert set(folded.latencies) == {"safe", "safe and clamps", "safe and reductions", "all"}


def test_what_costs_time_although_it_frees_an_operator_is_not_done() -> None:
    """ConvMixer on a CPU: a batch norm less, and a fusion of ONNX Runtime less."""

    def slower_without(models: Sequence[ir.Model]) -> list[float]:
        kept = [any(node.op_type == "BatchNormalization" for node in one.graph) for one in models]
        return [1.0 if one else 1.1 for one in kept]

    folded = fold(forward_only(), "fast", measure=slower_without)

    assert folded.decision.chosen == "backward"
    assert folded.report.bn_after == 1
    assert "does not pay" in str(folded.report.nodes[0].reason)


def test_nothing_is_done_that_is_slower_than_the_unfolded_model() -> None:
    """Within the noise of the fastest, but not of the unfolded model."""

    def hardly_slower_folded(models: Sequence[ir.Model]) -> list[float]:
        times = {4: 10.15, 3: 10.3}  # by the operators that are left
        return [10.0, *(times[len(list(one.graph))] for one in models[1:])]

    folded = fold(forward_only(), "fast", measure=hardly_slower_folded)

    assert folded.decision.chosen == "backward"
    assert folded.latencies == pytest.approx({"safe": 1.03, "backward": 1.015})


def test_microseconds_are_no_reason_to_leave_an_operator_in() -> None:
    def hardly_slower_without(models: Sequence[ir.Model]) -> list[float]:
        return [0.050 if len(list(one.graph)) > 3 else 0.055 for one in models]

    folded = fold(forward_only(), "fast", measure=hardly_slower_without)

    assert folded.decision.chosen == "safe"
    assert folded.report.bn_after == 0


@pytest.mark.parametrize(("times", "chosen"), [(0.9, "all"), (1.5, "safe and reductions")])
def test_of_what_is_as_fast_the_one_that_leaves_the_least_is_taken(
    times: float, chosen: str
) -> None:
    """What differs by less than measuring twice does is as fast."""
    folded = fold(network(), "fast", measure=Stopwatch(Max=50 * NOISE * times))

    assert folded.decision.chosen == chosen


def test_where_every_set_comes_to_the_same_nothing_is_measured() -> None:
    stopwatch = Stopwatch()
    proto = model(
        f"c = Conv(x, w) {bn('c')}",
        {"w": normal(4, 4, 1, 1), **norm(4)},
        inputs="double[n,4,6,5] x",
        outputs="double[n,4,6,5] y",
    )

    folded = fold(proto, "fast", measure=stopwatch)

    assert stopwatch.calls == 0
    assert (folded.decision.chosen, folded.decision.basis) == ("safe", "nothing to choose")
    assert op_types(folded.model) == ["Conv"]


@pytest.mark.parametrize(
    ("target", "dtype", "chosen"),
    [
        ("cpu", np.float32, "safe"),
        ("cpu", np.float16, "safe"),
        ("cuda", np.float32, "all"),
        ("cuda", np.float16, "safe"),
    ],
)
def test_a_device_that_is_not_here_is_decided_for_by_rule(
    target: Target, dtype: type[np.floating], chosen: str
) -> None:
    choice = choose(ir.from_proto(network(dtype)), "fast", target, None, {})

    assert (choice.decision.basis, choice.decision.chosen) == ("rule", chosen)
    assert choice.decision.target == target
    rule = RULES[target, dtype is np.float16]
    assert choice.decision.text == f"by rule: {rule.because}"
    assert rule.extras == (ALL if chosen == "all" else SAFE)
    assert choice.latencies == {}


def test_every_rule_says_what_was_measured() -> None:
    assert set(RULES) == {
        (target, narrow) for target in ("cpu", "cuda") for narrow in (True, False)
    }
    assert all(any(char.isdigit() for char in rule.because) for rule in RULES.values())
