"""Repositories of one model or one version, made of links."""

from pathlib import Path

import pytest

from service.errors import StartError
from service.tuning.repositories import Source, find_source, single, whole
from tests.service import zoo


def files(repository: Path) -> dict[str, bytes]:
    """Return what the service would find, by path."""
    return {
        path.relative_to(repository).as_posix(): path.read_bytes()
        for path in repository.glob("*/*/*")
        if path.is_file()
    }


def test_a_name_is_looked_up_in_the_repository(models: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    source = find_source("doubler", models)
    assert set(files(whole(source, place))) == {"doubler/1/model.onnx", "doubler/12/model.onnx"}


def test_one_version_is_alone_in_its_repository(models: Path, tmp_path: Path) -> None:
    source = find_source("doubler", models)
    one, other = (single(source, number, tmp_path / "single") for number in ("1", "12"))
    assert set(files(one)) == {"doubler/1/model.onnx"}
    assert set(files(other)) == {"doubler/12/model.onnx"}
    assert single(source, "1", tmp_path / "single") == one


def test_a_file_alone_is_a_model_of_one_version(tmp_path: Path) -> None:
    file = tmp_path / "My Net (1).onnx"
    file.write_bytes(b"graph")
    place = tmp_path / "place"
    place.mkdir()
    source = find_source(str(file), tmp_path / "nowhere")
    assert files(whole(source, place)) == {"model/1/model.onnx": b"graph"}
    assert files(single(source, "1", tmp_path / "single")) == {"model/1/model.onnx": b"graph"}


def test_what_lies_beside_a_model_onnx_comes_along(tmp_path: Path) -> None:
    zoo.put(tmp_path, "net", 3, zoo.doubler())
    (tmp_path / "net/3/weights").write_bytes(b"weights")
    place = tmp_path / "place"
    place.mkdir()
    source = find_source(str(tmp_path / "net/3/model.onnx"), tmp_path)
    assert set(files(whole(source, place))) == {"model/1/model.onnx", "model/1/weights"}


@pytest.mark.parametrize("name", ["nothing", "..", "doubler/1", ""])
def test_a_name_that_no_model_has_is_refused(name: str, models: Path) -> None:
    with pytest.raises(StartError, match=r"there is no model .*; --models names the repository"):
        find_source(name, models)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"there is no file no\.onnx"):
        find_source("no.onnx", tmp_path)


def test_links_hold_when_the_command_runs_elsewhere(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models.parent)
    source = find_source("doubler", Path(models.name))
    assert source == Source("doubler", models / "doubler")
