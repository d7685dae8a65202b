"""8-bit integers: what is quantized, how, and what stays as it was."""

import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from export.errors import UsageError
from export.precision.int8 import to_int8
from tests.export.graphs import normal, relative_error
from tests.export.precision.networks import graph, images, operators, run, weights

# One step of 8 bits is 4e-3 of a range, of the weights' 7 bits 8e-3; some add up.
EIGHTH = 0.1


def calibration() -> list[dict[str, np.ndarray]]:
    return [{"x": images(8, seed=seed)} for seed in range(4)]


@pytest.fixture(scope="module")
def narrow() -> ir.Model:
    return to_int8(graph(), calibration())


def quantized(model: ir.Model, name: str) -> ir.Value:
    return model.graph.initializers[f"{name}_quantized"]


def test_weights_are_signed_bytes_of_7_bits_with_a_scale_for_each_channel(narrow: ir.Model) -> None:
    stored, scale = quantized(narrow, "w"), narrow.graph.initializers["w_scale"]

    assert stored.dtype == ir.DataType.INT8
    assert stored.const_value is not None
    assert np.abs(stored.const_value.numpy()).max() <= 64
    assert scale.shape is not None
    assert list(scale.shape) == [6]


def test_activations_are_unsigned_bytes(narrow: ir.Model) -> None:
    zero_points = [
        node.inputs[2].dtype
        for node in narrow.graph
        if node.op_type == "QuantizeLinear" and node.inputs[2] is not None
    ]
    assert set(zero_points) == {ir.DataType.UINT8}


def test_it_computes_the_same_but_for_rounding(narrow: ir.Model) -> None:
    x = images(8)

    assert 0 < relative_error(run(graph(), {"x": x}), run(narrow, {"x": x})) < EIGHTH


def test_ranges_come_from_the_calibration_data() -> None:
    blind = to_int8(graph(), [{"x": np.zeros((1, 3, 8, 8), np.float32)}])
    x = images(8)

    assert relative_error(run(graph(), {"x": x}), run(blind, {"x": x})) > EIGHTH


def test_logits_stay_float_so_that_classes_do_not_tie(narrow: ir.Model) -> None:
    producer = narrow.graph.outputs[0].producer()

    assert producer is not None
    assert producer.op_type == "Gemm"


def test_softmax_and_what_it_reads_stay_float() -> None:
    network = graph(
        "f = Flatten(x) z = MatMul(f, m) y = Softmax<axis = 1>(z)",
        {"m": normal(192, 4, dtype=np.float32)},
    )

    assert operators(to_int8(network, calibration()))[-2:] == ["MatMul", "Softmax"]


def test_a_relu_at_the_end_still_holds_back_what_is_negative() -> None:
    network = graph(
        "c = Conv(x, w, b) y = Relu(c)",
        {name: weights()[name] for name in ("w", "b")},
        outputs="float[batch,6,6,6] y",
    )

    assert run(to_int8(network, calibration()), {"x": images(8)}).min() == 0


def test_signature_and_free_batch_are_kept(narrow: ir.Model) -> None:
    for before, after in (
        (graph().graph.inputs[0], narrow.graph.inputs[0]),
        (graph().graph.outputs[0], narrow.graph.outputs[0]),
    ):
        assert (before.name, before.dtype, str(before.shape)) == (
            after.name,
            after.dtype,
            str(after.shape),
        )
    assert len(run(narrow, {"x": images(1)})) == 1
    assert len(run(narrow, {"x": images(7)})) == 7


def test_pixels_stay_bytes_behind_their_cast() -> None:
    body = "t = Transpose<perm = [0, 3, 1, 2]>(u) x = Cast<to = 1>(t) c = Conv(x, w, b)"
    network = graph(
        f"{body} y = Relu(c)",
        {name: weights()[name] for name in ("w", "b")},
        inputs="uint8[batch,8,8,3] u",
        outputs="float[batch,6,6,6] y",
    )
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3)).astype(np.uint8)

    narrow = to_int8(network, [{"u": pixels}])

    assert narrow.graph.inputs[0].dtype == ir.DataType.UINT8
    cast = next(node for node in narrow.graph if node.op_type == "Cast")
    assert cast.inputs[0] is not None
    assert cast.inputs[0].dtype == ir.DataType.UINT8
    assert relative_error(run(network, {"u": pixels}), run(narrow, {"u": pixels})) < EIGHTH


def test_an_old_opset_is_raised_to_one_that_has_a_scale_for_each_channel() -> None:
    network = graph(opset=9)

    narrow = to_int8(network, calibration())

    assert narrow.opset_imports[""] >= 13
    assert relative_error(run(network, {"x": images(8)}), run(narrow, {"x": images(8)})) < EIGHTH


def test_metadata_is_the_model_s_own() -> None:
    network = graph()
    network.metadata_props["author"] = "somebody"

    assert dict(to_int8(network, calibration()).metadata_props) == {"author": "somebody"}


def test_the_given_model_is_left_alone_and_the_same_gives_the_same_bytes() -> None:
    network = graph()
    before = ir.to_proto(network).SerializeToString(deterministic=True)

    first, second = (to_int8(network, calibration()) for _ in range(2))

    assert ir.to_proto(network).SerializeToString(deterministic=True) == before
    one, other = (
        ir.to_proto(each).SerializeToString(deterministic=True) for each in (first, second)
    )
    assert one == other


def test_no_file_is_left_and_nothing_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    to_int8(graph(), calibration())

    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_model_with_nothing_to_quantize_is_refused() -> None:
    network = graph("y = Sin(x)", {}, outputs="float[batch,3,8,8] y")

    with pytest.raises(UsageError, match="there is no operator in the model to quantize"):
        to_int8(network, calibration())


def test_what_the_tools_cannot_do_is_said_in_one_line() -> None:
    with pytest.raises(UsageError, match="--precision int8: not possible here"):
        to_int8(graph(), [])
