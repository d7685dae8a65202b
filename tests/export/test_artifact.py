"""Artifacts appear whole or not at all, always in the same place and with the same bytes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from export import artifact
from export.artifact import Place
from export.errors import ArtifactError, UsageError
from tests.export.graphs import model


def relu(ir_version: int = 8) -> ir.Model:
    return ir.from_proto(
        model("y = Relu(x)", {}, inputs="float[n] x", outputs="float[n] y", ir_version=ir_version)
    )


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_place_is_that_of_triton(tmp_path: Path) -> None:
    place = Place(tmp_path, "digits", 3)

    assert place.model == tmp_path / "digits" / "3" / "model.onnx"


@pytest.mark.parametrize("name", ["", ".hidden", "-dash", "a/b", "..", "a b", "ä", "a\n"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        Place(tmp_path, name, 1)


@pytest.mark.parametrize("name", ["a", "7", "ResNet-50.v1_b"])
def test_what_is_a_name_is_taken(tmp_path: Path, name: str) -> None:
    assert Place(tmp_path, name, 1).folder == tmp_path / name / "1"


@pytest.mark.parametrize("version", [0, -1])
def test_versions_count_from_one(tmp_path: Path, version: int) -> None:
    with pytest.raises(UsageError, match=f"--version {version}: count from 1"):
        Place(tmp_path, "a", version)


def test_a_version_that_exists_is_not_free(tmp_path: Path) -> None:
    place = Place(tmp_path, "a", 1)
    place.check_free()
    artifact.write(place, b"data")

    with pytest.raises(UsageError, match=r"model\.onnx exists: take another --version, or --force"):
        place.check_free()


def test_a_model_is_serialized_to_the_same_bytes_each_time() -> None:
    assert artifact.serialize(relu()) == artifact.serialize(relu())


def test_the_ir_version_is_one_that_is_widely_read() -> None:
    data = artifact.serialize(relu(ir_version=12))

    assert onnx.load_from_string(data).ir_version == 10
    assert onnx.load_from_string(artifact.serialize(relu(8))).ir_version == 8


def test_an_invalid_model_is_refused() -> None:
    broken = relu()
    broken.graph[0].op_type = "Reelu"

    with pytest.raises(ArtifactError, match=r"the model is not valid: .*Reelu"):
        artifact.serialize(broken)


def test_a_model_that_onnx_runtime_does_not_load_is_refused() -> None:
    foreign = relu()
    foreign.graph[0].domain = "com.example"
    foreign.graph.opset_imports["com.example"] = 1

    with pytest.raises(ArtifactError, match="ONNX Runtime cannot load"):
        artifact.serialize(foreign)


def test_what_is_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    path = artifact.write(Place(tmp_path, "a", 1), b"data")

    assert path.read_bytes() == b"data"
    assert files(tmp_path) == {"a/1/model.onnx"}
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_checkpoint_is_kept_beside_it(tmp_path: Path) -> None:
    checkpoint = tmp_path / "best.safetensors"
    checkpoint.write_bytes(np.arange(10).tobytes())
    place = Place(tmp_path / "models", "a", 1)

    artifact.write(place, b"data", checkpoint)

    assert files(tmp_path / "models") == {"a/1/model.onnx", "a/1/checkpoint.safetensors"}
    assert (place.folder / "checkpoint.safetensors").read_bytes() == checkpoint.read_bytes()


def test_the_page_is_written_with_it_and_goes_with_it(tmp_path: Path) -> None:
    place = Place(tmp_path / "models", "a", 1)

    artifact.write(place, b"data", page="<p>\N{MULTIPLICATION SIGN}")
    assert files(tmp_path / "models") == {"a/1/model.onnx", "a/1/report.html"}
    assert (place.folder / "report.html").read_bytes() == b"<p>\xc3\x97"

    artifact.write(place, b"data")
    assert files(tmp_path / "models") == {"a/1/model.onnx"}


def test_a_failed_write_leaves_the_old_page(tmp_path: Path) -> None:
    place = Place(tmp_path / "models", "a", 1)
    artifact.write(place, b"first", page="first")

    with pytest.raises(ArtifactError, match="cannot be written"):
        artifact.write(place, b"second", tmp_path / "missing.safetensors", "second")

    assert files(tmp_path / "models") == {"a/1/model.onnx", "a/1/report.html"}
    assert (place.folder / "report.html").read_text() == "first"


def test_a_checkpoint_that_lies_there_already_stays(tmp_path: Path) -> None:
    place = Place(tmp_path, "a", 1)
    place.folder.mkdir(parents=True)
    checkpoint = place.folder / "checkpoint.safetensors"
    checkpoint.write_bytes(b"weights")

    artifact.write(place, b"data", checkpoint)

    assert checkpoint.read_bytes() == b"weights"


def test_replacing_leaves_no_checkpoint_of_another_build(tmp_path: Path) -> None:
    checkpoint = tmp_path / "c.safetensors"
    checkpoint.write_bytes(b"weights")
    place = Place(tmp_path / "models", "a", 1)
    artifact.write(place, b"first", checkpoint)

    artifact.write(place, b"second")

    assert files(tmp_path / "models") == {"a/1/model.onnx"}
    assert place.model.read_bytes() == b"second"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    place = Place(tmp_path / "models", "a", 1)
    artifact.write(place, b"first")

    with pytest.raises(ArtifactError, match="cannot be written"):
        artifact.write(place, b"second", tmp_path / "missing.safetensors")

    assert files(tmp_path / "models") == {"a/1/model.onnx"}
    assert place.model.read_bytes() == b"first"


def test_a_failed_write_leaves_no_folder_that_it_made(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()

    with pytest.raises(ArtifactError, match="cannot be written"):
        artifact.write(Place(tmp_path / "models", "a", 1), b"data", tmp_path / "missing")

    assert list((tmp_path / "models").iterdir()) == []


def test_a_full_disk_leaves_model_and_checkpoint_as_they_were(tmp_path: Path) -> None:
    """A limit on the size of files stands in for it; it ends the process that it is set in."""
    checkpoint = tmp_path / "c.safetensors"
    checkpoint.write_bytes(b"first")
    place = Place(tmp_path / "models", "a", 1)
    artifact.write(place, b"first", checkpoint)
    checkpoint.write_bytes(b"second")
    code = (
        "import resource, signal, sys; from pathlib import Path; from export import artifact; "
        "from export.errors import ArtifactError; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "place = artifact.Place(Path(sys.argv[1]), 'a', 1)\n"
        "try: artifact.write(place, bytes(100_000), Path(sys.argv[2]))\n"
        "except ArtifactError as error: print(error)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, place.repository, checkpoint],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "File too large" in done.stdout
    assert files(tmp_path / "models") == {"a/1/model.onnx", "a/1/checkpoint.safetensors"}
    assert place.model.read_bytes() == b"first"
    assert (place.folder / "checkpoint.safetensors").read_bytes() == b"first"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("in the way")

    with pytest.raises(ArtifactError, match=r"model\.onnx cannot be written"):
        artifact.write(Place(tmp_path, "a", 1), b"data")


def test_a_model_that_is_a_folder_is_not_replaced(tmp_path: Path) -> None:
    place = Place(tmp_path, "a", 1)
    place.model.mkdir(parents=True)
    (place.model / "inside").touch()

    with pytest.raises(ArtifactError, match="cannot be written"):
        artifact.write(place, b"data")

    assert files(tmp_path) == {"a/1/model.onnx/inside"}
