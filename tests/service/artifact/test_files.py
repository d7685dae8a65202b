"""A model's files lie in its own folder and are what they seem."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]  # the wheel has no types
import pytest
from onnx import TensorProto, helper

from service.artifact.external_data import External, external_tensors
from service.artifact.files import check_unchanged, files_of_model
from service.errors import ModelLoadError
from tests.service import zoo

# More than any file here.
ROOM = 2**20


def elsewhere(location: str, name: str = "w") -> onnx.TensorProto:
    """Three numbers that lie in another file."""
    tensor = TensorProto(
        name=name, data_type=zoo.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def model(location: str) -> onnx.ModelProto:
    """y = x + w."""
    return zoo.graph_model(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [zoo.info("x", ("batch", 3))],
        [zoo.info("y", ("batch", 3))],
        [elsewhere(location)],
    )


def put(root: Path, location: str) -> Path:
    path = root / "m" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(model(location).SerializeToString())
    return path


def numbers(path: Path) -> Path:
    np.ones(3, np.float32).tofile(path)
    return path


def test_external_data_in_the_models_folder_is_one_of_its_files(tmp_path: Path) -> None:
    path = put(tmp_path, "deep/w.bin")
    (path.parent / "deep").mkdir()
    numbers(path.parent / "deep" / "w.bin")
    files = files_of_model(path, ROOM)
    assert [file.path.name for file in files] == ["model.onnx", "w.bin"]
    assert [file.size for file in files] == [path.stat().st_size, 12]


@pytest.mark.parametrize("location", ["../../w.bin", "/etc/passwd", "a/../../w.bin", "..\\w.bin"])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    numbers(tmp_path / "w.bin")
    with pytest.raises(ModelLoadError, match="data of 'w' lies outside the model's folder") as told:
        files_of_model(put(tmp_path, location), ROOM)
    assert "passwd" not in str(told.value)


def to_outside(folder: Path) -> None:
    (folder / "w.bin").symlink_to(numbers(folder.parent / "w.bin"))


def to_inside(folder: Path) -> None:
    (folder / "w.bin").symlink_to(numbers(folder / "other.bin"))


def hard(folder: Path) -> None:
    (folder / "w.bin").hardlink_to(numbers(folder.parent / "w.bin"))


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "w.bin")


def nothing(_folder: Path) -> None:
    pass


def a_folder(folder: Path) -> None:
    (folder / "w.bin").mkdir()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (to_outside, "is a link"),
        (to_inside, "is a link"),
        (hard, "is a hard link"),
        (pipe, "is no plain file"),
        (a_folder, "is no plain file"),
        (nothing, "is missing"),
    ],
)
def test_external_data_is_a_plain_file(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    path = put(tmp_path, "w.bin")
    make(path.parent)
    with pytest.raises(ModelLoadError, match=f"external data of 'w' {reason}"):
        files_of_model(path, ROOM)


def test_external_data_in_a_linked_folder_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "linked/w.bin")
    (tmp_path / "away").mkdir()
    numbers(tmp_path / "away" / "w.bin")
    (path.parent / "linked").symlink_to(tmp_path / "away")
    with pytest.raises(ModelLoadError, match="is a link"):
        files_of_model(path, ROOM)


@pytest.mark.parametrize("location", ["", ".", "a\0b", "*/_ORT_MEM_ADDR_/*"])
def test_a_location_that_is_no_name_of_a_file_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(ModelLoadError):
        files_of_model(put(tmp_path, location), ROOM)


def test_a_model_that_is_a_link_out_of_the_repository_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "models", "w.bin")
    path.rename(tmp_path / "away.onnx")
    path.symlink_to(tmp_path / "away.onnx")
    with pytest.raises(ModelLoadError, match="leads out of the repository"):
        files_of_model(path, ROOM)


def test_a_model_that_is_a_link_within_the_repository_is_taken(tmp_path: Path) -> None:
    path = zoo.put(tmp_path, "m", 1, zoo.doubler())
    path.rename(path.with_name("data"))
    path.symlink_to("data")
    assert len(files_of_model(path, ROOM)) == 1


def test_the_files_together_are_bounded(tmp_path: Path) -> None:
    path = put(tmp_path, "w.bin")
    numbers(path.parent / "w.bin")
    size = path.stat().st_size + 12
    assert len(files_of_model(path, size)) == 2
    for bound in (size - 1, 10):
        with pytest.raises(ModelLoadError, match=f"MAX_MODEL_BYTES={bound}"):
            files_of_model(path, bound)


def test_what_changes_meanwhile_is_told(tmp_path: Path) -> None:
    path = zoo.put(tmp_path, "m", 1, zoo.doubler())
    files = files_of_model(path, ROOM)
    check_unchanged(files)
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(files[0].stamp[2], files[0].stamp[2]))  # who would hide it
    with pytest.raises(ModelLoadError, match="changed while they were read"):
        check_unchanged(files)
    path.unlink()
    with pytest.raises(ModelLoadError, match="changed while they were read"):
        check_unchanged(files)


def test_tensors_are_found_wherever_a_model_can_hold_one() -> None:
    inner = helper.make_graph([], "inner", [], [], [elsewhere("a", "in a subgraph")])
    sparse = onnx.SparseTensorProto(values=elsewhere("b", "values"), indices=elsewhere("c", "at"))
    nodes = [
        helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner),
        helper.make_node("Constant", [], ["z"], value=elsewhere("d", "constant")),
        helper.make_node("Constant", [], ["s"], sparse_value=sparse),
        helper.make_node("Own", [], ["o"], domain="own", several=[elsewhere("e", "one of a list")]),
    ]
    found = zoo.graph_model(nodes, [], [])
    found.graph.sparse_initializer.add().CopyFrom(sparse)
    body = [helper.make_node("Constant", [], ["y"], value=elsewhere("f", "in a function"))]
    found.functions.add().CopyFrom(helper.make_function("own", "F", [], ["y"], body, [zoo.OPSET]))
    found.training_info.add().initialization.initializer.append(elsewhere("g", "training"))
    names = {one.tensor for one in external_tensors(found.SerializeToString())}
    assert names == {
        "in a subgraph", "values", "at", "constant", "one of a list", "in a function", "training",
    }  # fmt: skip


def test_every_location_of_a_tensor_counts() -> None:
    tensor = elsewhere("good.bin")
    tensor.external_data.add(key="location", value="../bad.bin")
    data = zoo.graph_model([], [], [], [tensor]).SerializeToString()
    assert {*external_tensors(data)} == {External("w", "good.bin"), External("w", "../bad.bin")}


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 40, b"\x3a\x7f", b"\x3b", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0d0"],
    ids=["varint without end", "longer than the file", "group", "huge length", "cut number"],
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(ModelLoadError, match="no ONNX model"):
        list(external_tensors(data))


@pytest.mark.parametrize("beyond", [0x10, 0x40, 0x70])
def test_a_tag_that_the_runtime_cuts_to_32_bits_hides_no_tensor(
    tmp_path: Path, beyond: int
) -> None:
    """To its parser the field is the graph, to whoever keeps all bits one that nobody knows."""
    path = put(tmp_path, "w.bin")
    whole = onnx.load(path, load_external_data=False)
    graph = whole.graph.SerializeToString()
    whole.ClearField("graph")
    tag = [0x3A | 0x80, 0x80, 0x80, 0x80, beyond]
    length = [len(graph) & 0x7F | 0x80, len(graph) >> 7]
    path.write_bytes(whole.SerializeToString() + bytes(tag + length) + graph)
    numbers(path.parent / "w.bin")
    # The runtime opens what is beside the model, so it may not come so far.
    session = onnxruntime.InferenceSession(path)
    assert session.run(None, {"x": np.zeros((1, 3), np.float32)})[0].tolist() == [[1, 1, 1]]
    with pytest.raises(ModelLoadError, match="no ONNX model"):
        files_of_model(path, ROOM)


def test_a_model_cut_anywhere_is_a_model_or_refused() -> None:
    whole = model("w.bin").SerializeToString()
    for length in range(len(whole)):
        try:
            list(external_tensors(whole[:length]))
        except ModelLoadError as error:
            assert "no ONNX model" in str(error)  # noqa: PT017 -- most raise, some are whole
