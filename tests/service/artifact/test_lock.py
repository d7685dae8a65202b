"""With a lock, only what was put into the repository is served."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.artifact.files import files_of_model
from service.artifact.lock import check_locked, read_lock
from service.errors import ModelLoadError
from tests.service import zoo

ZERO = "0" * 64


def write(root: Path, files: dict[str, Any], more: Mapping[str, Any] | None = None) -> None:
    document = {"format_version": 1, "files": files, **(more or {})}
    (root / "lock.json").write_text(json.dumps(document))


def check(path: Path) -> None:
    check_locked(path.parents[2], files_of_model(path, 2**20))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return zoo.put(tmp_path, "m", 1, zoo.doubler())


def entry(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def test_a_file_with_the_locks_hash_is_served(path: Path) -> None:
    write(path.parents[2], {"m/1/model.onnx": entry(path)})
    check(path)


def test_another_file_is_not_served_and_both_hashes_are_named(path: Path) -> None:
    locked = entry(path)
    write(path.parents[2], {"m/1/model.onnx": locked})
    path.write_bytes(path.read_bytes() + b"\x08\x0a")
    with pytest.raises(ModelLoadError, match="is not the file of lock") as caught:
        check(path)
    assert locked["sha256"][:12] in str(caught.value)
    assert entry(path)["sha256"][:12] in str(caught.value)


def test_a_file_that_is_not_in_the_lock_is_not_served(path: Path) -> None:
    write(path.parents[2], {"m/2/model.onnx": entry(path)})
    with pytest.raises(ModelLoadError, match=r"model\.onnx is not in the repository's lock"):
        check(path)


def test_without_a_lock_nothing_is_served_and_the_setting_is_named(path: Path) -> None:
    with pytest.raises(ModelLoadError, match="FOLDSERVE_REQUIRE_LOCK"):
        check(path)


@pytest.mark.parametrize(
    "name", ["../m/model.onnx", "/m/model.onnx", "m//model.onnx", "./m", "m\\1", "m/1/", ""]
)
def test_a_lock_names_files_of_its_own_repository(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: {"sha256": ZERO, "bytes": 1}})
    with pytest.raises(ModelLoadError, match=r"lock\.json, files"):
        read_lock(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"format_version": 2},
        {"format_version": True},
        {"files": []},
        {"more": 1},
        {"files": {"a": {"sha256": "0" * 63, "bytes": 1}}},
        {"files": {"a": {"sha256": "G" * 64, "bytes": 1}}},
        {"files": {"a": {"sha256": ZERO, "bytes": -1}}},
        {"files": {"a": {"sha256": ZERO, "bytes": "1"}}},
        {"files": {"a": {"sha256": ZERO}}},
    ],
    ids=str,
)
def test_a_lock_that_is_not_as_stated_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    write(tmp_path, {}, fields)
    with pytest.raises(ModelLoadError, match=r"lock\.json, "):
        read_lock(tmp_path)


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"[" * 100_000, b'{"format_version":1,"files":{},"files":{}}'],
    ids=["empty", "no text", "deep", "twice"],
)
def test_what_is_no_json_or_says_a_thing_twice_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "lock.json").write_bytes(text)
    with pytest.raises(ModelLoadError, match=r"lock\.json is not JSON"):
        read_lock(tmp_path)


def test_a_lock_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "lock.json").write_bytes(b" " * (4 * 2**20 + 1))
    with pytest.raises(ModelLoadError, match="larger than"):
        read_lock(tmp_path)


def test_a_lock_that_cannot_be_read_is_told_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "lock.json").mkdir()
    with pytest.raises(ModelLoadError, match="cannot be read") as caught:
        read_lock(tmp_path)
    assert str(tmp_path) not in str(caught.value)
