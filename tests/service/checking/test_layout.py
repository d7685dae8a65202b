"""What lies in a repository where nobody looks for it."""

from pathlib import Path

import pytest

from service.checking.layout import ignored, misplaced
from service.repository.entries import find_models


def told(root: Path) -> list[tuple[str, str, bool]]:
    """Where, what to do, and whether something is not served for it."""
    found = []
    entries = list(find_models(root, lambda *what: found.append(ignored(root, *what))))
    return [
        (each.where, each.remedy, each.keeps_out) for each in (*found, *misplaced(root, entries))
    ]


@pytest.mark.parametrize(
    ("file", "where", "remedy"),
    [
        ("loose.onnx", "loose.onnx", "move it to loose/1/model.onnx"),
        ("net/model.onnx", "net/model.onnx", "move it to net/1/model.onnx"),
        ("net/other.onnx", "net/other.onnx", "move it to net/1/model.onnx"),
        ("1/model.onnx", "1/model.onnx", "the repository is the folder above this one"),
        ("my net/1/model.onnx", "my net", "a model's name is letters"),
        ("net/v1/model.onnx", "net/v1", "versions are folders named 1, 2, 3"),
    ],
)
def test_a_model_in_the_wrong_place_is_not_served(
    tmp_path: Path, file: str, where: str, remedy: str
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"model")
    place, advice, keeps_out = told(tmp_path)[0]
    assert (place, keeps_out) == (where, True)
    assert advice.startswith(remedy)


@pytest.mark.parametrize("folder", ["empty", "net/notes", "my notes"])
def test_a_folder_without_a_model_does_no_harm(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    assert {keeps_out for _, _, keeps_out in told(tmp_path)} == {False}


def test_where_all_is_in_its_place_nothing_is_told(tmp_path: Path) -> None:
    for file in ("net/1/model.onnx", ".hidden/model.onnx", "lock.json", "net/1/notes.txt"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    assert told(tmp_path) == []
