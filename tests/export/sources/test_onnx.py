"""ONNX files are read as they are, and never anything outside their folder."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, external_data_helper, helper

from export.errors import SourceError, UsageError
from export.folding.recognition import batch_norms
from export.sources.onnx import load, read_onnx
from export.sources.options import SourceOptions
from export.sources.original import ImageInput, TensorInput
from tests.export.graphs import bn, model, norm, normal


def proto(inputs: str = "float[n,3,8,8] x") -> onnx.ModelProto:
    arrays = {"w": normal(4, 3, 3, 3, dtype=np.float32), **norm(4, dtype=np.float32)}
    return model(f"c = Conv(x, w) {bn('c')}", arrays, inputs=inputs, outputs="float[n,4,h,v] y")


def saved(path: Path, given: onnx.ModelProto) -> Path:
    onnx.save(given, path)
    return path


def with_external(tmp_path: Path, location: str = "weights.bin") -> Path:
    """A model whose weight lies in a file beside it, said to be at `location`."""
    given = proto()
    weight = given.graph.initializer[0]
    (tmp_path / "weights.bin").write_bytes(weight.raw_data)
    external_data_helper.set_external_data(weight, location)
    weight.ClearField("raw_data")
    path = tmp_path / "model.onnx"
    path.write_bytes(given.SerializeToString())
    return path


def test_a_file_keeps_its_batch_norms_names_and_shape(tmp_path: Path) -> None:
    original = read_onnx(saved(tmp_path / "m.onnx", proto()), SourceOptions())

    assert len(batch_norms(original.model.graph)) == 1
    assert original.input == TensorInput((3, 8, 8))
    assert original.provenance.kind == "onnx"
    assert original.provenance.reference == "m.onnx"
    assert len(original.provenance.sha256 or "") == 64


def test_free_sizes_are_taken_from_the_option(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", proto("float[n,3,h,v] x"))

    assert read_onnx(path, SourceOptions()).input == TensorInput(None)
    assert read_onnx(path, SourceOptions(input_shape=(3, 9, 9))).input == TensorInput((3, 9, 9))


@pytest.mark.parametrize("shape", [(4, 9, 9), (3, 9), (3, 9, 9, 1)])
def test_a_shape_that_the_graph_contradicts_is_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = saved(tmp_path / "m.onnx", proto("float[n,3,h,v] x"))

    with pytest.raises(UsageError, match=r"--input [x\d]+: input 'x' is 3x\?x\?"):
        read_onnx(path, SourceOptions(input_shape=shape))


def test_a_shape_for_a_model_of_several_inputs_is_refused(tmp_path: Path) -> None:
    given = model("y = Add(x, z)", {}, inputs="float[n,a] x, float[n,a] z", outputs="float[n,a] y")

    with pytest.raises(UsageError, match="--input: the model has 2 inputs"):
        read_onnx(saved(tmp_path / "m.onnx", given), SourceOptions(input_shape=(3,)))


def test_image_options_describe_the_input(tmp_path: Path) -> None:
    options = SourceOptions(color="RGB", resize_filter="bicubic", crop_fraction=0.875)

    original = read_onnx(saved(tmp_path / "m.onnx", proto()), options)

    assert original.input == ImageInput(
        "RGB", 3, 8, 8, resize_filter="bicubic", crop_fraction=0.875
    )


def test_labels_are_read(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\n", "utf-8")

    original = read_onnx(saved(tmp_path / "m.onnx", proto()), SourceOptions(labels=labels))

    assert original.labels == ("cat", "dog")


def test_names_of_the_new_front_give_way_to_those_in_the_graph(tmp_path: Path) -> None:
    given = proto()
    given.graph.initializer[1].name = "pixel_offset"
    given.graph.node[1].input[1] = "pixel_offset"
    options = SourceOptions(mean=(0.5,), std=(0.5,))

    original = read_onnx(saved(tmp_path / "m.onnx", given), options)

    onnx.checker.check_model(ir.to_proto(original.model), full_check=True)
    assert "pixel_offset_2" in original.model.graph.initializers


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08"])
def test_a_file_that_is_no_model_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)

    with pytest.raises(SourceError, match=r"m\.onnx is no ONNX model"):
        load(path)


def test_a_tensor_without_a_type_is_an_error(tmp_path: Path) -> None:
    given = proto()
    given.graph.initializer[0].data_type = TensorProto.UNDEFINED

    with pytest.raises(SourceError, match=r"m\.onnx is no ONNX model"):
        load(saved(tmp_path / "m.onnx", given))


@pytest.mark.parametrize("what", ["operand", "attribute", "value"])
def test_a_graph_that_is_not_valid_is_an_error(tmp_path: Path, what: str) -> None:
    given = proto()
    conv, norm_node = given.graph.node
    if what == "operand":
        conv.input.pop()
    elif what == "attribute":
        norm_node.attribute.append(helper.make_attribute("epsilon", "small"))
    else:
        conv.input[0] = "from nowhere"

    with pytest.raises(SourceError, match=r"m\.onnx is no valid ONNX model: "):
        read_onnx(saved(tmp_path / "m.onnx", given), SourceOptions())


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        load(tmp_path / "m.onnx")


def test_an_artifact_is_no_source(tmp_path: Path) -> None:
    given = proto()
    helper.set_model_props(given, {"foldserve.manifest": "{}"})

    with pytest.raises(SourceError, match="an artifact of foldserve-export already"):
        read_onnx(saved(tmp_path / "m.onnx", given), SourceOptions())


def test_external_data_beside_the_model_is_read(tmp_path: Path) -> None:
    loaded, _ = load(with_external(tmp_path))

    weight = loaded.graph.initializers["w"].const_value
    assert weight is not None
    assert not isinstance(weight, ir.ExternalTensor)
    assert np.array_equal(weight.numpy(), normal(4, 3, 3, 3, dtype=np.float32))


@pytest.mark.parametrize("location", ["/etc/hostname", "../weights.bin", "a/../../weights.bin"])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(SourceError, match="outside the model's folder"):
        load(with_external(tmp_path, location))


def test_external_data_behind_a_link_is_refused(tmp_path: Path) -> None:
    path = with_external(tmp_path, "link.bin")
    (tmp_path / "link.bin").symlink_to("weights.bin")

    with pytest.raises(SourceError, match=r"'link\.bin' is a link"):
        load(path)


def test_external_data_with_another_name_is_refused(tmp_path: Path) -> None:
    path = with_external(tmp_path)
    (tmp_path / "weights.bin").rename(tmp_path / "secret")
    (tmp_path / "weights.bin").hardlink_to(tmp_path / "secret")

    with pytest.raises(SourceError, match=r"'weights\.bin' is a hard link"):
        load(path)


def test_external_data_in_a_linked_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = with_external(folder, "linked/weights.bin")
    (folder / "linked").symlink_to(tmp_path)

    with pytest.raises(SourceError, match="is a link"):
        load(path)


def test_missing_external_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"'gone\.bin' is missing"):
        load(with_external(tmp_path, "gone.bin"))


def test_external_data_that_is_too_short_is_an_error(tmp_path: Path) -> None:
    path = with_external(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"short")

    with pytest.raises(SourceError, match="external data cannot be read"):
        load(path)


def test_a_model_too_large_for_one_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    given = proto()
    huge = given.graph.initializer.add(name="huge", data_type=TensorProto.FLOAT)
    huge.dims.extend([1 << 20, 1 << 10])
    external_data_helper.set_external_data(_with_raw(huge), "weights.bin")
    huge.ClearField("raw_data")
    (tmp_path / "weights.bin").write_bytes(b"")
    path = tmp_path / "m.onnx"
    path.write_bytes(given.SerializeToString())

    with pytest.raises(SourceError, match="its weights are 4294967"):
        load(path)


def _with_raw(tensor: TensorProto) -> TensorProto:
    tensor.raw_data = b""
    return tensor


def test_constants_in_nodes_may_lie_outside_no_more_than_initializers(tmp_path: Path) -> None:
    given = proto()
    node = given.graph.node.add(op_type="Constant", output=["k"])
    tensor = helper.make_tensor("t", TensorProto.FLOAT, [1], b"0000", raw=True)
    external_data_helper.set_external_data(tensor, "../secret")
    tensor.ClearField("raw_data")
    node.attribute.append(helper.make_attribute("value", tensor))
    path = tmp_path / "m.onnx"
    path.write_bytes(given.SerializeToString())

    with pytest.raises(SourceError, match="outside the model's folder"):
        load(path)


def test_image_options_on_what_is_no_image_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", proto("float[n,3,h,v] x"))

    with pytest.raises(UsageError, match="--color: the input of unknown shape is no image"):
        read_onnx(path, SourceOptions(color="RGB"))


def test_pixels_are_normalized_in_a_graph_that_lists_its_initializers_first(
    tmp_path: Path,
) -> None:
    """IR version 3 lists them among the inputs, in any order."""
    given = model(
        "y = Conv(x, w)",
        {"w": normal(4, 3, 1, 1, dtype=np.float32)},
        inputs="float[4,3,1,1] w, float[n,3,8,8] x",
        outputs="float[n,4,8,8] y",
        opset=8,
        ir_version=3,
    )
    options = SourceOptions(mean=(0.5,), std=(0.25,))

    original = read_onnx(saved(tmp_path / "m.onnx", given), options)

    proto_after = ir.to_proto(original.model)
    onnx.checker.check_model(proto_after, full_check=True)
    assert [value.name for value in proto_after.graph.input] == ["x"]
    assert proto_after.graph.node[0].input[0] == "x"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("float[n,3,8,8] x, float[n,3,8,8] z", "--input: the model has 2 inputs"),
        ("uint8[n,3,8,8] x", "the input is UINT8, it must be a float"),
    ],
)
def test_pixels_are_normalized_for_one_input_of_floats_alone(
    tmp_path: Path, inputs: str, message: str
) -> None:
    given = model("y = Identity(x)", {}, inputs=inputs, outputs="float[n,3,8,8] y")
    options = SourceOptions(mean=(0.5,), input_shape=(3, 8, 8))

    with pytest.raises(UsageError, match=message):
        read_onnx(saved(tmp_path / "m.onnx", given), options)


@pytest.mark.parametrize(
    ("body", "outputs"),
    [("", "float[n,3,8,8] x"), ("y = Relu(x)", "float[n,3,8,8] y, float[n,3,8,8] x")],
    ids=["a graph without nodes", "an input that is an output as well"],
)
def test_pixels_that_are_put_out_as_they_are_cannot_be_normalized(
    tmp_path: Path, body: str, outputs: str
) -> None:
    given = model(body, {}, inputs="float[n,3,8,8] x", outputs=outputs)

    with pytest.raises(UsageError, match="puts out its input 'x' as it is"):
        read_onnx(saved(tmp_path / "m.onnx", given), SourceOptions(mean=(0.5,)))


def test_a_mean_beyond_the_type_of_the_pixels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--mean, --std: too large or too small for FLOAT"):
        read_onnx(saved(tmp_path / "m.onnx", proto()), SourceOptions(mean=(1e300,)))
