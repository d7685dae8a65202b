"""Parity: what it measures, and that it catches what it is there to catch."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from export import reference, verify
from export.errors import ParityError, SourceError
from export.folding.engine import fold_in_place as fold
from export.sources.original import Feeds, ImageInput, Original, Provenance, Reference, TensorInput
from export.verify import Parity
from tests.export.graphs import Array, bn, model, norm, normal


def network(**options: str) -> onnx.ModelProto:
    arrays = {
        "w": normal(4, 3, 3, 3, dtype=np.float32),
        **norm(4, dtype=np.float32),
    }
    return model(
        f"c = Conv(x, w) {bn('c', 'z')} y = ReduceMean<axes=[2,3],keepdims=0>(z)",
        arrays,
        inputs=options.get("inputs", "float[n,3,8,8] x"),
        outputs="float[n,4] y",
    )


def original(
    proto: onnx.ModelProto,
    reference: Reference | None = None,
    described: ImageInput | TensorInput | None = None,
) -> Original:
    return Original(
        ir.from_proto(proto),
        described or TensorInput((3, 8, 8)),
        Provenance("onnx", "m.onnx"),
        reference,
        "a fake",
    )


def serialized(proto: onnx.ModelProto, change: Callable[[ir.Model], object] = fold) -> bytes:
    changed = ir.from_proto(proto)
    change(changed)
    data: bytes = ir.to_proto(changed).SerializeToString()
    return data


def shift_bias(by: float) -> Callable[[ir.Model], None]:
    """A fold that is wrong: the new bias is off."""

    def change(folded: ir.Model) -> None:
        fold(folded)
        bias = folded.graph.initializers["w_bias"]
        assert bias.const_value is not None
        bias.const_value = ir.tensor(bias.const_value.numpy() + np.float32(by))

    return change


def test_a_right_fold_holds_and_says_against_what() -> None:
    parity = verify.measure(original(network()), serialized(network()), samples=10)

    verify.check(parity)
    assert parity.holds
    assert parity.reference == "float64 ONNX"
    assert parity.samples == 10
    assert parity.tolerance == 1e-5
    # Above zero: float32 rounds. Far below the tolerance: it rounds a few times only.
    assert 0 < parity.max_rel_error < 1e-6
    assert 0 < parity.unfolded_max_rel_error < 1e-6
    assert parity.top1_agreement == 1.0


@pytest.mark.parametrize("by", [1e-4, float("nan"), float("inf")])
def test_a_wrong_fold_does_not(by: float) -> None:
    parity = verify.measure(original(network()), serialized(network(), shift_bias(by)))

    assert not parity.holds
    with pytest.raises(ParityError, match="beyond the tolerance of 1e-05"):
        verify.check(parity)


def test_the_same_seed_measures_the_same() -> None:
    first, again, other = (
        verify.measure(original(network()), serialized(network()), samples=4, seed=seed)
        for seed in (1, 1, 2)
    )

    assert first == again
    assert first.max_abs_error != other.max_abs_error


def test_batches_of_several_sizes_are_run_in_the_range_of_values() -> None:
    seen: list[Array] = []

    def watch(feeds: Feeds) -> list[Array]:
        seen.append(feeds["x"])
        return genuine(feeds)

    genuine = reference.in_float64(ir.from_proto(network()))
    described = ImageInput("RGB", 3, 8, 8)

    parity = verify.measure(
        original(network(), watch, described), serialized(network()), samples=20
    )

    assert parity.reference == "a fake"
    assert [len(batch) for batch in seen] == [1, 5, 8, 6]
    pixels = np.concatenate(seen)
    assert pixels.dtype == np.float32
    assert 0 <= pixels.min() < 10
    assert 245 < pixels.max() <= 255


def test_a_fixed_batch_is_run_as_it_is() -> None:
    proto = network(inputs="float[3,3,8,8] x")

    parity = verify.measure(original(proto), serialized(proto), samples=7)

    assert parity.samples == 9


def test_fewer_samples_are_drawn_of_large_inputs() -> None:
    proto = network(inputs="float[n,3,h,v] x")
    small, large = (
        verify.measure(original(proto, described=TensorInput(shape)), serialized(proto))
        for shape in ((3, 8, 8), (3, 80, 80))
    )

    assert (small.samples, large.samples) == (64, 16)


def test_a_graph_that_its_own_framework_contradicts_was_converted_wrongly() -> None:
    with pytest.raises(ParityError, match="before any fold, does not compute what a fake does"):
        verify.measure(
            original(network(), lambda feeds: [np.ones((len(feeds["x"]), 4))]),
            serialized(network()),
        )


def test_a_reference_of_another_shape_is_no_reference() -> None:
    with pytest.raises(ParityError, match="a fake"):
        verify.measure(original(network(), lambda _: [np.ones(3)]), serialized(network()))


def test_without_a_float64_evaluation_the_unfolded_graph_is_the_reference() -> None:
    """A batch norm in training is not evaluated in float64; it is kept, so both agree."""
    proto = model(
        "t, m, v = BatchNormalization<training_mode=1>(x, a_gamma, a_beta, a_mean, a_var) "
        f"c = Conv(t, w) {bn('c', 'z')} y = ReduceMean<axes=[2,3],keepdims=0>(z)",
        {
            "w": normal(4, 3, 3, 3, dtype=np.float32),
            **norm(4, dtype=np.float32),
            **norm(3, dtype=np.float32, prefix="a"),
        },
        inputs="float[n,3,8,8] x",
        outputs="float[n,4] y",
    )

    parity = verify.measure(original(proto), serialized(proto), samples=6)

    assert parity.reference == "unfolded ONNX, ONNX Runtime without optimizations"
    assert parity.unfolded_max_rel_error == 0
    assert parity.holds


def test_a_folded_model_with_another_output_is_refused() -> None:
    def drop(folded: ir.Model) -> None:
        node = folded.graph.outputs[0].producer()
        assert node is not None
        node.attributes["keepdims"] = ir.AttrInt64("keepdims", 1)
        folded.graph.outputs[0].shape = None

    with pytest.raises(ParityError, match="the folded model puts out"):
        verify.measure(original(network()), serialized(network(), drop))


def test_a_folded_model_that_does_not_load_is_refused() -> None:
    with pytest.raises(ParityError, match="ONNX Runtime cannot load"):
        verify.measure(original(network()), b"not a model")


def test_a_folded_model_that_does_not_run_is_refused_and_is_no_error_of_the_source() -> None:
    with pytest.raises(ParityError, match="ONNX Runtime cannot run"):
        verify.measure(original(network()), serialized(network(inputs="float[n,3,9,9] x")))


def test_an_original_that_does_not_run_is_an_error_of_the_source() -> None:
    proto = network(inputs="float[n,5,8,8] x")

    with pytest.raises(SourceError, match="ONNX Runtime cannot"):
        verify.measure(original(proto), serialized(network()))


def test_an_original_that_puts_out_what_is_not_finite_is_an_error_of_the_source() -> None:
    proto = model("y = Log(x)", {}, inputs="float[n,3,8,8] x", outputs="float[n,3,8,8] y")

    with pytest.raises(SourceError, match="not finite"):
        verify.measure(original(proto), proto.SerializeToString())


def test_outputs_that_are_zero_have_no_scale() -> None:
    zero = model("y = Sub(x, x)", {}, inputs="float[n,3,8,8] x", outputs="float[n,3,8,8] y")
    one = model("y = Identity(x)", {}, inputs="float[n,3,8,8] x", outputs="float[n,3,8,8] y")

    assert verify.measure(original(zero), zero.SerializeToString()).max_rel_error == 0
    wrong = verify.measure(original(zero), one.SerializeToString())
    assert wrong.max_rel_error == float("inf")
    assert wrong.top1_agreement is None
    assert not wrong.holds


def test_a_changed_answer_shows_in_the_agreement() -> None:
    def negate(folded: ir.Model) -> None:
        weight = folded.graph.initializers["bn_gamma"]
        assert weight.const_value is not None
        weight.const_value = ir.tensor(-weight.const_value.numpy())

    parity = verify.measure(original(network()), serialized(network(), negate))

    assert parity.top1_agreement is not None
    assert parity.top1_agreement < 1


def test_an_ill_conditioned_network_may_be_twice_as_far_off_as_it_was() -> None:
    arrays = {"w": normal(4, 3, 3, 3, dtype=np.float32), **norm(4, dtype=np.float32)}
    arrays["bn_mean"] = (arrays["bn_mean"] + 3e4).astype(np.float32)  # a large mean ...
    arrays["b"] = arrays["bn_mean"]  # ... that the bias takes to nearly nothing
    proto = model(
        f"c = Conv(x, w, b) {bn('c', 'z')} y = ReduceMean<axes=[2,3],keepdims=0>(z)",
        arrays,
        inputs="float[n,3,8,8] x",
        outputs="float[n,4] y",
    )

    parity = verify.measure(original(proto), serialized(proto))

    assert parity.unfolded_max_rel_error > 1e-5
    assert parity.tolerance == pytest.approx(2 * parity.unfolded_max_rel_error, rel=0.01)
    assert parity.max_rel_error < parity.unfolded_max_rel_error
    assert parity.holds


def test_float16_has_a_tolerance_of_its_own() -> None:
    arrays = {"w": normal(4, 3, 3, 3, dtype=np.float16), **norm(4, dtype=np.float32)}
    proto = model(
        f"c = Conv(x, w) {bn('c', 'z')} y = ReduceMean<axes=[2,3],keepdims=0>(z)",
        arrays,
        inputs="float16[n,3,8,8] x",
        outputs="float16[n,4] y",
    )

    parity = verify.measure(original(proto), serialized(proto))

    assert parity.tolerance == 5e-3
    assert parity.max_rel_error > 1e-5
    assert parity.holds


def test_a_tolerance_that_is_given_counts_alone() -> None:
    parity = verify.measure(original(network()), serialized(network()), tolerance=1e-12)

    assert parity.tolerance == 1e-12
    assert not parity.holds


def test_what_is_not_a_number_never_holds() -> None:
    assert not Parity("r", 1, 0, 0.0, float("nan"), 0.0, None, None, 1.0).holds


def test_a_float64_evaluation_that_the_runtime_contradicts_is_not_believed() -> None:
    """Float32 does not know the phase of a sine at 1e9, float64 does."""
    proto = model(
        "a = Mul(x, k) y = Sin(a)",
        {"k": np.array(1e9, np.float32)},
        inputs="float[n,3,8,8] x",
        outputs="float[n,3,8,8] y",
    )

    parity = verify.measure(original(proto), serialized(proto), samples=4)

    assert parity.reference == verify.FALLBACK_REFERENCE
    assert parity.holds


def scale_bias(by: float) -> Callable[[ir.Model], None]:
    """A fold that is wrong, and more so the larger a bias is."""

    def change(folded: ir.Model) -> None:
        fold(folded)
        bias = folded.graph.initializers["w_bias"]
        assert bias.const_value is not None
        bias.const_value = ir.tensor(bias.const_value.numpy() * np.float32(by))

    return change


def test_a_wrong_fold_does_not_hide_behind_a_saturated_softmax() -> None:
    arrays = {
        "w": normal(4, 3, 3, 3, dtype=np.float32),
        "k": np.array(4, np.float32),
        **norm(4, dtype=np.float32),
        "bn_beta": np.array([0, 2, 4, 10], np.float32),  # always the last class, by far
    }
    proto = model(
        f"c = Conv(x, w) {bn('c', 'z')} m = ReduceMean<axes=[2,3],keepdims=0>(z) l = Mul(m, k) "
        "y = Softmax(l)",
        arrays,
        inputs="float[n,3,8,8] x",
        outputs="float[n,4] y",
    )

    right = verify.measure(original(proto), serialized(proto))
    wrong = verify.measure(original(proto), serialized(proto, scale_bias(1.01)))

    assert right.holds
    assert wrong.max_abs_error < right.tolerance  # of probabilities, the largest of which is 1
    assert not wrong.holds


def test_an_output_whose_first_axis_is_no_batch_is_compared_too() -> None:
    arrays = {"w": normal(4, 3, 3, 3, dtype=np.float32), **norm(4, dtype=np.float32)}
    proto = model(
        f"c = Conv(x, w) {bn('c', 'z')} m = ReduceMean<axes=[2,3],keepdims=0>(z) y = Transpose(m)",
        arrays,
        inputs="float[n,3,8,8] x",
        outputs="float[4,n] y",
    )

    assert verify.measure(original(proto), serialized(proto)).holds
    assert not verify.measure(original(proto), serialized(proto, shift_bias(1e-3))).holds


def test_a_network_that_puts_out_the_same_for_all_inputs_tells_nothing() -> None:
    arrays = {"w": normal(4, 3, 3, 3, dtype=np.float32), **norm(4, dtype=np.float32)}
    arrays["bn_beta"] = np.full(4, -1e3, np.float32)  # the ReLU behind it is dead
    proto = model(
        f"c = Conv(x, w) {bn('c', 'z')} y = Relu(z)",
        arrays,
        inputs="float[n,3,8,8] x",
        outputs="float[n,4,6,6] y",
    )

    with pytest.raises(SourceError, match="the same for every input"):
        verify.measure(original(proto), serialized(proto))


def test_without_batch_norm_it_may() -> None:
    proto = model(
        "y = Relu(k)", {"k": normal(2, 3, dtype=np.float32)}, inputs="", outputs="float y"
    )

    parity = verify.measure(original(proto), serialized(proto), samples=3)

    assert parity.samples == 3
    assert parity.holds
