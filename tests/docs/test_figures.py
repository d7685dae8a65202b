"""Each figure of README has a command of this project, and each promise a test."""

import json
import re
from pathlib import Path

import onnx
import pytest

import export.manifest
from tests.docs.documents import documents, rows


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return documents(root)["README.md"]


def test_the_figure_of_the_bundled_model_is_its_manifests(readme: str, root: Path) -> None:
    model = onnx.load(root / "models/digits/1/model.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    accuracy = json.loads(metadata[export.manifest.KEY])["metrics"]["accuracy"]
    figures = [row[1] for row in rows(readme, "claim", "figure", "command") if "bundled" in row[0]]
    assert figures == [f"{accuracy:.1%}".replace("%", " %")]


def test_every_figure_has_a_command_of_this_project(readme: str, root: Path) -> None:
    targets = (root / "Makefile").read_text()
    for _, figure, command in rows(readme, "claim", "figure", "command"):
        assert re.search(r"\d", figure)
        name, *arguments = command.split()
        if name == "make":
            assert f"\n{arguments[0]}: " in targets
        elif name == "python":
            module = root.joinpath(*arguments[1].split("."))
            assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file()
        elif name != "the":
            assert name in ("foldserve-train", "foldserve-export", "docker")
        for argument in arguments:
            assert not argument.endswith(".toml") or (root / argument).is_file()


def test_every_promise_names_a_test_that_exists(readme: str, root: Path) -> None:
    promises = rows(readme, "promise", "test", "counted")
    assert promises
    for _, tests, counted in promises:
        assert re.search(r"\d", counted)
        for name in tests.split(", "):
            assert (root / "tests" / name).exists(), name
