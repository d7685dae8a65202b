"""Concat and Split: each part of the whole is stored like that part of the whole."""

import numpy as np
import onnx
import pytest

from tests.export.folding.sandwiches import in_front, outcome, parameters, with_shape
from tests.export.graphs import EXACT, Array, bn, folded, model, norm, normal
from tests.export.oracle import difference


def joined(body: str, arrays: dict[str, Array], size: str = "n,4,6,5") -> onnx.ModelProto:
    return with_shape(model(body, arrays, inputs=f"double[{size}] x", outputs="double y"))


W = {"w": normal(4, 4, 1, 1), "v": normal(2, 4, 1, 1)}


@pytest.mark.parametrize("axis", [1, -3])
def test_a_batch_norm_behind_a_concat_goes_into_what_is_joined(axis: int) -> None:
    proto = joined(
        f"c = Conv(x, w) d = Conv(x, v) j = Concat<axis={axis}>(c, d) {bn('j')}", {**W, **norm(6)}
    )

    result = outcome(proto)

    assert result.how == "folded_backward"
    assert set(result.entry.into) == {"c", "d"}


def test_not_if_one_part_does_not_go_along() -> None:
    proto = joined(f"c = Conv(x, w) j = Concat<axis=1>(c, x) {bn('j')}", {**W, **norm(8)})

    assert "'x' is an input of the graph" in outcome(proto).reason


def test_a_batch_norm_in_front_of_a_concat_goes_into_what_reads_the_whole() -> None:
    proto = joined(
        f"{bn('x', 'a')} j = Concat<axis=1>(a, x) y = Conv(j, u)",
        {"u": normal(3, 8, 1, 1), **norm(4)},
    )

    assert outcome(proto).how == "folded_forward"


def test_a_gamma_of_zero_can_go_forward_through_a_concat() -> None:
    parameters_ = norm(4)
    parameters_["bn_gamma"][1] = 0
    proto = joined(
        f"{bn('x', 'a')} j = Concat<axis=1>(a, x) y = Conv(j, u)",
        {"u": normal(3, 8, 1, 1), **parameters_},
    )

    assert outcome(proto).how == "folded_forward"


def test_constants_that_are_joined_are_stored_like_the_rest() -> None:
    proto = joined(
        f"c = Conv(x, w) j = Concat<axis=1>(c, k) {bn('j')}",
        {**W, "k": normal(2, 2, 6, 5), **norm(6)},
        "2,4,6,5",
    )

    result = outcome(proto)

    assert result.how == "folded_backward"
    assert result.left == ["Conv", "Concat"]


def test_parts_of_one_image_are_stored_alike() -> None:
    """Concat along the height: every part has all channels."""
    proto = joined(
        f"c = Conv(x, w) d = Conv(x, w) j = Concat<axis=2>(c, d) {bn('j')}", {**W, **norm(4)}
    )
    assert outcome(proto).how == "folded_backward"

    proto = joined(
        f"c = Conv(x, w) {bn('c', 'a')} s = Sigmoid(x) d = Conv(s, w) j = Concat<axis=2>(a, d) "
        "y = Conv(j, w)",
        {**W, **norm(4)},
    )
    assert outcome(proto).how == "folded_backward"


def test_an_affine_goes_round_through_the_part_beside_it() -> None:
    """Of a Concat along the height: the other part is stored so too, by what computes it."""
    proto = joined(
        f"{bn('x', 'a')} s = Sigmoid(x) d = Conv(s, w) j = Concat<axis=2>(a, d) y = Conv(j, w)",
        {**W, **norm(4)},
    )

    result = outcome(proto)

    assert result.how == "folded_forward"
    assert set(result.entry.into) == {"d", "y"}


def test_or_is_told_apart_by_what_works_on_single_numbers() -> None:
    """Where the part beside it does not go along, the whole varies along the height as well."""
    proto = joined(f"{bn('x', 'a')} j = Concat<axis=2>(a, x) y = Conv(j, w)", {**W, **norm(4)})

    result = outcome(proto)

    assert result.how == "kept"


def test_one_tensor_twice_cannot_be_stored_in_two_ways() -> None:
    proto = joined(f"c = Conv(x, w) j = Concat<axis=1>(c, c) {bn('j')}", {**W, **norm(8)})

    assert "Concat 'j' holds one tensor twice" in outcome(proto).reason


def test_one_tensor_twice_can_be_stored_in_one() -> None:
    proto = joined(
        f"{bn('x', 'a')} j = Concat<axis=1>(a, a) y = Conv(j, u)",
        {"u": normal(3, 8, 1, 1), **norm(4)},
    )

    assert outcome(proto).how == "folded_forward"


def test_a_part_that_learns_late_how_it_is_stored_is_not_forgotten() -> None:
    """The second Concat is asked before the first has said what becomes of its output."""
    given = {"s": np.array([2, 2]), "k": normal(8), "m": normal(4), "l": normal(4)}
    proto = joined(
        "q = Mul(x, m) a = Add(q, l) p, r = Split<axis=3>(a, s) j = Concat<axis=3>(p, p) "
        "i = Concat<axis=3>(j, a) y = Add(i, k)",
        given,
        "n,6,5,4",
    )

    after, _ = folded(proto, "safe")

    assert difference(proto, after, normal(2, 6, 5, 4)) <= EXACT


def test_a_concat_of_unknown_sizes_is_left_alone() -> None:
    proto = model(
        f"u = Conv(x, w) {bn('u', 'a')} s = Shape(x) z = Slice(x, s, s) j = Concat<axis=0>(a, a) "
        "y = Sigmoid(j)",
        {"w": normal(4, 4, 1, 1), **norm(4)},
        inputs="double[n,4,6,5] x",
        outputs="double[m,4,6,5] y",
    )

    _, report = folded(proto, "safe")

    assert report.nodes[0].outcome == "folded_backward"


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("axis", [1, -3])
def test_a_batch_norm_goes_through_a_split(opset: int, axis: int) -> None:
    sizes = ("<axis={0},split=[1,3]>(a)" if opset == 11 else "<axis={0}>(a, s)").format(axis)
    text = f"f, b = Split{sizes} e = Conv(f, u)"
    given = {"s": np.array([1, 3]), "u": normal(2, 1, 1, 1)}
    proto = in_front(text, given, opset=opset, weight=(2, 3, 1, 1), linear="Conv(b, w)")
    proto.graph.node[-1].output[0] = "g"
    proto.graph.node.append(onnx.helper.make_node("Add", ["e", "g"], ["y"]))

    assert outcome(proto).how == "folded_forward"


def test_a_batch_norm_of_one_part_of_a_split_goes_back_if_the_other_does_not_mind() -> None:
    proto = joined(
        f"c = Conv(x, w) f, g = Split<axis=1>(c, s) {bn('f', 'a')} d = Sigmoid(g) y = Add(a, d)",
        {**W, "s": np.array([2, 2]), **norm(2)},
    )

    assert outcome(proto).how == "folded_backward"


def test_a_split_of_the_image_is_stored_alike_in_all_parts() -> None:
    proto = joined(
        f"c = Conv(x, w) f, g = Split<axis=2>(c, s) {bn('f', 'a')} d = Conv(g, v) e = Conv(a, v) "
        "y = Add(d, e)",
        {**W, "s": np.array([3, 3]), **norm(4)},
    )

    assert outcome(proto).how in {"folded_backward", "folded_forward"}


def test_a_split_whose_other_part_minds_keeps_the_batch_norm() -> None:
    proto = joined(
        f"f, g = Split<axis=1>(x, s) {bn('f')}", {"s": np.array([2, 2]), **parameters(channels=2)}
    )

    assert "'x' is an input of the graph" in outcome(proto).reason


def test_a_zero_that_cannot_be_written_and_one_that_cannot_be_read_are_not_joined() -> None:
    """Both parts go forward, each with its zero; nothing has to be written, so they can be."""
    one, two = parameters(), {k.replace("bn", "two"): a for k, a in parameters().items()}
    one["bn_gamma"][1] = two["two_gamma"][2] = 0
    proto = joined(
        f"{bn('x', 'a')} s = Sigmoid(x) {bn('s', 'b', prefix='two')} j = Concat<axis=1>(a, b) "
        "y = Conv(j, u)",
        {"u": normal(3, 8, 1, 1), **one, **two},
    )

    after, report = folded(proto, "safe")

    assert [node.outcome for node in report.nodes] == ["folded_forward", "folded_forward"]
    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT


def test_one_tensor_twice_is_not_stored_shifted_for_one_of_its_places_alone() -> None:
    """What is asked of its first place is nothing, of its second a shift."""
    given = {"b": np.array([0.2, 0.7, -0.4, 0.5])[:, None, None], "s": normal(8, 1, 1)}
    proto = joined(
        "c = Conv(x, w) a = Add(c, b) j = Concat<axis=1>(a, c) y = Mul(j, s)", {**W, **given}
    )

    after, _ = folded(proto, "all")

    assert difference(proto, after, normal(2, 4, 6, 5)) <= EXACT
