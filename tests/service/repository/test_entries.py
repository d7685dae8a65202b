"""What a folder of models means."""

import errno
from pathlib import Path
from typing import Any

import pytest

from service.errors import ModelNotFound, ModelNotReady, StartError, VersionNotFound
from service.repository.entries import Entry, Repository, files_of, find_models

PREDICTOR: Any = object()


class Guarded(type(Path())):  # type: ignore[misc]  # the platform's own class of paths
    """A path whose folder `locked` only another user may list."""

    def iterdir(self) -> Any:
        if self.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied")
        return super().iterdir()


def found(root: Path) -> tuple[list[str], list[str]]:
    ignored: list[str] = []

    def on_ignored(folder: str, _reason: str) -> None:
        ignored.append(folder)

    entries = [f"{each.name}/{each.version}" for each in find_models(root, on_ignored)]
    return entries, ignored


def entry(name: str, version: str, *, ready: bool = True) -> Entry:
    bare = Entry(name, version, Path("model.onnx"))
    return bare.ready(PREDICTOR) if ready else bare.failed("broken")


def test_models_and_versions_are_the_folders(tmp_path: Path) -> None:
    for folder in ("digits/1", "digits/2", "other/7"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "README.md").touch()
    assert found(tmp_path) == (["digits/1", "digits/2", "other/7"], [])


def test_a_folder_that_cannot_be_listed_is_told_and_stops_no_other(tmp_path: Path) -> None:
    for folder in ("digits/1", "locked/1", "other/1"):
        (tmp_path / folder).mkdir(parents=True)
    assert found(Guarded(tmp_path)) == (["digits/1", "other/1"], ["locked"])


@pytest.mark.parametrize("version", ["01", "0", "-1", "v1", "1.0", "latest", "¹", "9" * 30])
def test_a_folder_that_is_no_version_is_ignored_and_told(tmp_path: Path, version: str) -> None:
    (tmp_path / "digits" / version).mkdir(parents=True)
    assert found(tmp_path) == ([], [f"digits/{version}"])


@pytest.mark.parametrize("name", ["my model", "-x", "naïve", "a%2e"])
def test_a_folder_that_is_no_name_is_ignored_and_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name / "1").mkdir(parents=True)
    assert found(tmp_path) == ([], [name])


def test_hidden_folders_are_nobodys_business(tmp_path: Path) -> None:
    (tmp_path / ".git" / "1").mkdir(parents=True)
    (tmp_path / "digits" / ".partial").mkdir(parents=True)
    assert found(tmp_path) == ([], [])


def test_a_link_to_a_version_is_followed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "repository" / "digits").mkdir(parents=True)
    (tmp_path / "repository" / "digits" / "3").symlink_to(tmp_path / "store")
    assert found(tmp_path / "repository") == (["digits/3"], [])


def test_a_missing_repository_says_how_to_set_it(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="No such file or directory; set FOLDSERVE_MODELS"):
        found(tmp_path / "nothing")


def test_the_highest_version_answers_by_number_and_not_by_spelling() -> None:
    repository = Repository([entry("m", "10"), entry("m", "9")])
    assert repository.entry("m").version == "10"
    assert list(repository.versions("m")) == ["9", "10"]


def test_a_broken_version_leaves_the_one_below_in_charge() -> None:
    repository = Repository([entry("m", "1"), entry("m", "2", ready=False)])
    assert repository.serving("m")[0].version == "1"


def test_a_model_of_broken_versions_is_not_ready() -> None:
    repository = Repository([entry("m", "1", ready=False), entry("m", "2", ready=False)])
    assert repository.entry("m").version == "2"
    with pytest.raises(ModelNotReady, match="model m version 2 is failed"):
        repository.serving("m")


def test_what_is_not_there_is_not_found() -> None:
    repository = Repository([entry("m", "1")])
    with pytest.raises(ModelNotFound):
        repository.entry("../m")
    with pytest.raises(VersionNotFound, match="it has 1"):
        repository.entry("m", "2")


def test_an_entry_takes_the_place_of_its_former_self() -> None:
    repository = Repository([Entry("m", "1", Path("model.onnx"))])
    repository.update(entry("m", "1"))
    assert [each.state for each in repository] == ["ready"]


def test_new_entries_come_in_their_place() -> None:
    repository = Repository()
    for name, version in (("m", "10"), ("b", "1"), ("m", "9")):
        repository.update(entry(name, version))
    assert [(each.name, each.version) for each in repository] == [
        ("b", "1"),
        ("m", "9"),
        ("m", "10"),
    ]


def test_a_removed_version_is_not_found_and_the_last_takes_its_model_along() -> None:
    first, second = entry("m", "1"), entry("m", "2")
    repository = Repository([first, second])
    repository.remove(second)
    assert repository.serving("m")[0] is first
    repository.remove(first)
    with pytest.raises(ModelNotFound):
        repository.versions("m")


def test_an_unloaded_version_says_so_and_holds_nothing() -> None:
    repository = Repository([entry("m", "1").unloaded()])
    with pytest.raises(ModelNotReady, match="model m version 1 is unavailable"):
        repository.serving("m")
    assert repository.entry("m").predictor is None


def test_a_version_whose_newer_file_is_broken_is_served_on() -> None:
    outdated = entry("m", "1").outdated("it is broken")
    assert outdated.state == "ready"
    assert outdated.predictor is PREDICTOR
    assert outdated.reason == "a newer file is not served: it is broken"


def test_the_files_of_a_version_tell_when_one_of_them_changes(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"old")
    before = files_of(tmp_path)
    assert files_of(tmp_path) == before
    new = tmp_path / "new"
    new.write_bytes(b"new")
    new.replace(model)
    changed = files_of(tmp_path)
    assert changed != before
    (tmp_path / "weights").touch()
    assert files_of(tmp_path) != changed
