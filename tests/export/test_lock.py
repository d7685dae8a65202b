"""The lock says of every model in a repository what it was when it was written."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from typer.testing import CliRunner

from export import artifact, lock
from export.__main__ import app
from export.artifact import Place
from export.errors import ArtifactError
from tests.export.graphs import model
from tests.export.sources.test_onnx import with_external

pytestmark = pytest.mark.slow


def entry(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def locked(repository: Path) -> dict[str, Any]:
    document = json.loads((repository / "lock.json").read_bytes())
    assert document["format_version"] == 1
    files: dict[str, Any] = document["files"]
    return files


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_build_is_in_the_lock(tmp_path: Path) -> None:
    lock.put(Place(tmp_path, "b", 1), b"one")
    lock.put(Place(tmp_path, "a", 2), b"two", page="<p>")
    lock.put(Place(tmp_path, "b", 1), b"three")

    assert locked(tmp_path) == {"a/2/model.onnx": entry(b"two"), "b/1/model.onnx": entry(b"three")}
    assert names(tmp_path) == {"a/2/model.onnx", "a/2/report.html", "b/1/model.onnx", "lock.json"}


def test_a_failed_write_leaves_the_lock(tmp_path: Path) -> None:
    place = Place(tmp_path / "models", "a", 1)
    lock.put(place, b"first")

    with pytest.raises(ArtifactError, match="cannot be written"):
        lock.put(place, b"second", tmp_path / "missing")

    assert locked(place.repository) == {"a/1/model.onnx": entry(b"first")}
    assert names(place.repository) == {"a/1/model.onnx", "lock.json"}


def test_a_lock_that_cannot_be_written_behind_its_model_is_settled_by_the_next_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = artifact.write_file

    def full(path: Path, data: bytes) -> None:
        if path.name == "lock.json":
            raise ArtifactError("the disk is full")
        write(path, data)

    lock.put(Place(tmp_path, "a", 1), b"first")
    with monkeypatch.context() as patched:
        patched.setattr(artifact, "write_file", full)
        with pytest.raises(ArtifactError, match="the disk is full"):
            lock.put(Place(tmp_path, "a", 1), b"second")
    assert locked(tmp_path) == {"a/1/model.onnx": entry(b"first")}

    lock.put(Place(tmp_path, "b", 1), b"other")

    assert locked(tmp_path) == {
        "a/1/model.onnx": entry(b"second"),
        "b/1/model.onnx": entry(b"other"),
    }
    assert ".lock.json.pending" not in names(tmp_path)


def test_a_failed_write_leaves_no_repository_that_it_made(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be written"):
        lock.put(Place(tmp_path / "new" / "models", "a", 1), b"data", tmp_path / "missing")

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_build_wrote_is_taken_over_and_its_drafts_go(tmp_path: Path) -> None:
    place = Place(tmp_path, "a", 1)
    lock.put(place, b"old")
    announced = {"format_version": 1, "files": {"a/1/model.onnx": entry(b"new")}}
    (tmp_path / ".lock.json.pending").write_text(json.dumps(announced))
    place.model.write_bytes(b"new")
    for draft in (place.folder / ".model.onnx.x1", tmp_path / ".lock.json.x2"):
        draft.write_bytes(b"half")

    lock.put(Place(tmp_path, "b", 1), b"other")
    lock.put(place, b"newest")

    assert locked(tmp_path)["a/1/model.onnx"] == entry(b"newest")
    assert names(tmp_path) == {"a/1/model.onnx", "b/1/model.onnx", "lock.json"}


@pytest.mark.parametrize(("lies_there", "stays"), [(b"new", b"new"), (b"foreign", b"old")])
def test_only_what_was_announced_comes_into_the_lock(
    tmp_path: Path, lies_there: bytes, stays: bytes
) -> None:
    place = Place(tmp_path, "a", 1)
    lock.put(place, b"old")
    announced = {"format_version": 1, "files": {"a/1/model.onnx": entry(b"new")}}
    (tmp_path / ".lock.json.pending").write_text(json.dumps(announced))
    place.model.write_bytes(lies_there)

    lock.put(Place(tmp_path, "b", 1), b"other")

    assert locked(tmp_path)["a/1/model.onnx"] == entry(stays)


def test_builds_at_once_lose_none_of_them(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from export import lock; "
        "from export.artifact import Place\n"
        "for n in range(1, 11): lock.put(Place(Path(sys.argv[1]), sys.argv[2], n), b'%d' % n)"
    )
    builds = [subprocess.Popen([sys.executable, "-c", code, tmp_path, name]) for name in "abc"]
    assert [build.wait(60) for build in builds] == [0, 0, 0]

    assert locked(tmp_path).keys() == {f"{a}/{n}/model.onnx" for a in "abc" for n in range(1, 11)}
    assert names(tmp_path) == {*locked(tmp_path), "lock.json"}


def test_a_lock_that_cannot_be_read_is_not_replaced_by_a_build(tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_text("[]")

    with pytest.raises(ArtifactError, match="foldserve-export lock"):
        lock.put(Place(tmp_path, "a", 1), b"data")

    assert names(tmp_path) == {"lock.json"}


@pytest.mark.parametrize("name", ["lock.json", ".lock.json.pending"])
def test_a_lock_of_absurd_size_is_not_read(tmp_path: Path, name: str) -> None:
    """Nor one that goes on without end, as a device does."""
    (tmp_path / name).write_bytes(b" " * (4 * 2**20 + 1))
    with pytest.raises(ArtifactError, match="cannot be read"):
        lock.put(Place(tmp_path, "a", 1), b"data")
    assert not (tmp_path / "a").exists()
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(ArtifactError, match="cannot be read"):
        lock.put(Place(tmp_path, "a", 1), b"data")


def by_hand(repository: Path) -> Path:
    (repository / "a" / "1").mkdir(parents=True)
    (repository / "b" / "3").mkdir(parents=True)
    relu = model("y = Relu(x)", {}, inputs="float[n] x", outputs="float[n] y")
    onnx.save(relu, repository / "a" / "1" / "model.onnx")
    with_external(repository / "b" / "3")
    return repository


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["lock", *map(str, arguments)], env={"COLUMNS": "200"})
    return result.exit_code, result.output


def test_a_repository_made_by_hand_is_locked_with_its_external_data(tmp_path: Path) -> None:
    by_hand(tmp_path)

    assert run(tmp_path) == (0, f"Wrote {tmp_path}/lock.json of 3 files\n")
    assert locked(tmp_path) == {
        name: entry((tmp_path / name).read_bytes())
        for name in ("a/1/model.onnx", "b/3/model.onnx", "b/3/weights.bin")
    }
    assert run(tmp_path, "--check") == (0, f"{tmp_path} is what lock.json says.\n")


def test_the_check_names_every_difference_and_writes_nothing(tmp_path: Path) -> None:
    run(by_hand(tmp_path))
    before = (tmp_path / "lock.json").read_bytes()
    (tmp_path / "a" / "2").mkdir()
    (tmp_path / "a" / "1" / "model.onnx").rename(tmp_path / "a" / "2" / "model.onnx")
    weights = tmp_path / "b" / "3" / "weights.bin"
    weights.write_bytes(weights.read_bytes()[::-1])

    code, said = run(tmp_path, "--check")

    assert code == 1
    assert said.splitlines() == [
        "a/1/model.onnx is missing",
        "a/2/model.onnx is not in the lock",
        "b/3/weights.bin is another file than the lock's",
    ]
    assert (tmp_path / "lock.json").read_bytes() == before


def test_the_check_needs_a_lock_and_a_repository(tmp_path: Path) -> None:
    assert run(tmp_path, "--check")[0] == 2
    assert run(tmp_path / "none")[0] == 2


def test_the_bundled_model_is_what_its_lock_says(root: Path) -> None:
    assert lock.differences(root / "models") == []
