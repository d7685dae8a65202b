"""An artifact that takes the bytes of images computes what the network does with their pixels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx_ir import DataType

from export import pipeline, verify
from export.artifact import Place
from export.errors import ParityError, UsageError
from export.input_format import channels_first, format_of, with_format
from export.pipeline import ParityOptions
from export.signature import Tensor, signature
from export.sources.onnx import load
from export.sources.options import SourceOptions
from export.sources.original import ImageInput, Original, Provenance, TensorInput
from tests.export.checkpoints import write_checkpoint
from tests.export.graphs import Array, model, normal, op_types, reference, run_float32

pytestmark = pytest.mark.slow

SMALL = "tests.export.networks:small"
PICTURE = SourceOptions(input_shape=(3, 8, 9), color="RGB", mean=(0.5, 0.4, 0.3), std=(0.2,))
FEW = ParityOptions(samples=6)
IMAGE = ImageInput("RGB", 3, 6, 5)
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3), np.uint8)


def original(proto: onnx.ModelProto, given: ImageInput | TensorInput = IMAGE) -> Original:
    return Original(ir.from_proto(proto), given, Provenance("onnx", "m.onnx"))


def convolution(inputs: str = "float[n,3,6,5] x", dtype: Any = np.float32) -> onnx.ModelProto:
    weight = {"w": normal(4, 3, 3, 3, dtype=dtype)}
    kind = inputs.partition("[")[0]
    return model("y = Conv(x, w)", weight, inputs=inputs, outputs=f"{kind}[n,4,4,3] y")


def as_bytes(given: Original) -> onnx.ModelProto:
    proto: onnx.ModelProto = ir.to_proto(with_format(given, "image-uint8").model)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def planes(pixels: Array, dtype: Any = np.float32) -> Array:
    """What the network itself takes, written apart from the code under test."""
    return np.stack([pixels[..., channel] for channel in range(3)], axis=1).astype(dtype)


def test_bytes_give_exactly_what_their_values_gave_as_floats() -> None:
    proto = convolution()
    expected = run_float32(proto, {"x": planes(PIXELS)})[0]
    actual = run_float32(as_bytes(original(proto)), {"x": PIXELS})[0]
    np.testing.assert_array_equal(actual, expected)


def test_the_comparison_sees_exchanged_channels() -> None:
    proto = convolution()
    expected = run_float32(proto, {"x": planes(PIXELS[..., ::-1])})[0]
    actual = run_float32(as_bytes(original(proto)), {"x": PIXELS})[0]
    assert not np.allclose(actual, expected)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float", "double"])
def test_every_float_type_holds_every_byte(kind: str) -> None:
    proto = model(
        "y = Identity(x)", {}, inputs=f"{kind}[n,1,16,16] x", outputs=f"{kind}[n,c,h,v] y"
    )
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    found = reference(as_bytes(original(proto, ImageInput("L", 1, 16, 16))), {"x": every})
    np.testing.assert_array_equal(found.astype(np.float64).ravel(), every.ravel())


def test_the_bytes_are_transposed_before_they_grow() -> None:
    assert op_types(as_bytes(original(convolution()))) == ["Transpose", "Cast", "Conv"]


def test_the_input_keeps_its_name_and_batch_and_says_its_sizes() -> None:
    given = original(convolution("float[rows,3,h,v] x"))
    taken = with_format(given, "image-uint8")
    (value,) = taken.model.graph.inputs
    assert (value.name, value.dtype) == ("x", DataType.UINT8)
    assert value.shape == ["rows", 6, 5, 3]
    assert taken.input == replace(IMAGE, layout="NHWC")
    assert taken.input.shape == (6, 5, 3)


def test_the_original_is_left_alone_and_is_the_answer_where_floats_are_wanted() -> None:
    given = original(convolution())
    before = ir.to_proto(given.model).SerializeToString(deterministic=True)
    with_format(given, "image-uint8")
    assert ir.to_proto(given.model).SerializeToString(deterministic=True) == before
    assert with_format(given, "float32") is given


def test_names_of_the_front_give_way_to_those_in_the_graph() -> None:
    proto = convolution()
    proto.graph.node[0].output[0] = proto.graph.output[0].name = "x_float"
    expected = run_float32(proto, {"x": planes(PIXELS)})[0]
    np.testing.assert_array_equal(
        run_float32(as_bytes(original(proto)), {"x": PIXELS})[0], expected
    )


def test_every_reader_of_the_pixels_reads_the_front_subgraphs_too() -> None:
    proto = model(
        "s = ReduceSum<keepdims=0>(x) c = Greater(s, zero)"
        "y = If(c) <then_branch = a () => (float[n,3,6,5] p) { p = Neg(x) },"
        " else_branch = b () => (float[n,3,6,5] q) { q = Identity(x) }>",
        {"zero": np.zeros((), np.float32)},
        inputs="float[n,3,6,5] x",
        outputs="float[n,3,6,5] y",
    )
    actual = run_float32(as_bytes(original(proto)), {"x": PIXELS})[0]
    np.testing.assert_array_equal(actual, -planes(PIXELS))


def test_a_reference_in_floats_sees_the_same_pixels() -> None:
    given = replace(original(convolution()), reference=lambda feeds: [feeds["x"]])
    taken = with_format(given, "image-uint8")
    assert taken.reference is not None
    (seen,) = taken.reference({"x": PIXELS})
    assert seen.dtype == np.float64
    np.testing.assert_array_equal(seen, planes(PIXELS))
    np.testing.assert_array_equal(seen, channels_first(PIXELS))


def test_a_front_that_the_reference_does_not_share_is_found_out() -> None:
    proto = convolution()
    transposed = replace(
        original(proto),
        reference=lambda feeds: [reference(proto, {"x": feeds["x"][:, ::-1].astype(np.float32)})],
    )
    data = as_bytes(original(proto)).SerializeToString()
    with pytest.raises(ParityError, match="does not compute what"):
        verify.measure(with_format(transposed, "image-uint8"), data, samples=3)


@pytest.mark.parametrize(
    ("proto", "given", "message"),
    [
        (convolution(), TensorInput((3, 6, 5)), "the input is no image; --color RGB or L says"),
        (convolution(), replace(IMAGE, value_range=(0.0, 1.0)), r"range over \(0.0, 1.0\)"),
        (
            model(
                "y = Add(x, z)",
                {},
                inputs="float[n,3,6,5] x, float[n,3,6,5] z",
                outputs="float[n,3,6,5] y",
            ),
            IMAGE,
            "the model has 2 inputs, not one image",
        ),
        (
            model("y = Neg(x)", {}, inputs="int32[n,3,6,5] x", outputs="int32[n,3,6,5] y"),
            IMAGE,
            "the input is INT32, it must be a float",
        ),
        (
            model("y = Neg(x)", {}, inputs="float[n,1,3,6,5] x", outputs="float[n,1,3,6,5] y"),
            IMAGE,
            "the input has 5 axes, images have 4",
        ),
        (
            model(
                "y = Neg(x)",
                {},
                inputs="float[n,3,6,5] x",
                outputs="float[n,3,6,5] y, float[n,3,6,5] x",
            ),
            IMAGE,
            "puts out its input 'x' as it is",
        ),
    ],
    ids=["tensor", "other range", "two inputs", "whole numbers", "five axes", "given out"],
)
def test_what_cannot_take_bytes_is_refused_in_words(
    proto: onnx.ModelProto, given: ImageInput | TensorInput, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        with_format(original(proto, given), "image-uint8")


def test_the_format_of_an_artifact_is_seen_from_its_bytes() -> None:
    given = original(convolution())
    taken = with_format(given, "image-uint8")
    data = as_bytes(given).SerializeToString()
    assert format_of(data, given) == "image-uint8"
    assert format_of(convolution().SerializeToString(), given) == "float32"
    assert format_of(data, taken) == "float32"  # it takes bytes without a front of ours
    assert format_of(b"no model", given) == "float32"
    assert with_format(taken, "image-uint8") is taken


def test_a_factory_becomes_an_artifact_of_bytes(tmp_path: Path) -> None:
    place = Place(tmp_path, "small", 1)
    built = pipeline.build(SMALL, place, PICTURE, FEW, input_format="image-uint8")

    (taken,) = signature(load(built.path)[0]).inputs
    assert taken == Tensor("input", DataType.UINT8, ("batch", 8, 9, 3))
    assert built.manifest["input"]["layout"] == "NHWC"
    assert built.manifest["parity"]["max_rel_error"] <= built.manifest["parity"]["tolerance"]


@pytest.mark.parametrize(
    ("factory", "operators"),
    [("small", ["Transpose", "Cast", "Add", "Conv"]), ("unpadded", ["Transpose", "Cast", "Conv"])],
    ids=["zero padding", "no padding"],
)
def test_of_the_normalization_an_addition_is_left_before_zero_padding_and_else_nothing(
    tmp_path: Path, factory: str, operators: list[str]
) -> None:
    source, place = f"tests.export.networks:{factory}", Place(tmp_path, factory, 1)
    picture = replace(PICTURE, input_shape=(3, 24, 25))
    built = pipeline.build(source, place, picture, FEW, input_format="image-uint8")
    found = op_types(onnx.load(built.path))
    assert found[: len(operators)] == operators
    assert not {"Sub", "Mul", "Div"} & set(found)


def test_parity_is_measured_again_without_being_told_the_format(tmp_path: Path) -> None:
    place = Place(tmp_path, "small", 1)
    built = pipeline.build(SMALL, place, PICTURE, FEW, input_format="image-uint8")

    again = pipeline.verify_again(built.path, SMALL, PICTURE, FEW)
    assert again.max_rel_error == built.manifest["parity"]["max_rel_error"]
    with pytest.raises(ParityError, match="the folded model is off by"):
        pipeline.verify_again(built.path, SMALL, replace(PICTURE, mean=(0.4, 0.5, 0.3)), FEW)


def test_a_checkpoint_of_images_becomes_an_artifact_of_bytes(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "c.safetensors", "cnn2d")
    place = Place(tmp_path, "c", 1)
    built = pipeline.build(str(source), place, parity=FEW, input_format="image-uint8")
    assert built.manifest["input"]["layout"] == "NHWC"


def test_a_checkpoint_of_signals_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "c.safetensors", "cnn1d")
    place = Place(tmp_path, "c", 1)
    with pytest.raises(UsageError, match="the input is no image"):
        pipeline.build(str(source), place, parity=FEW, input_format="image-uint8")
    assert not place.folder.exists()
