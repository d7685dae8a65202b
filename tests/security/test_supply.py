"""What is installed: pinned, looked up among the known holes, and written down, by the Makefile."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

PINS = ("constraints.txt", "tests/clients/requirements.txt")
# Versions before which a hole is known that our tests show to be closed, and where.
CLOSED = {
    "onnx": "1.21",  # external data out of the model's folder
    "pillow": "13",  # EXIF that claims the same bytes again and again
    "keras": "3.15.1",  # files that bring a pickle, or read files of the host
}


def dry(root: Path, target: str) -> str:
    """The commands of a target; none is run."""
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run(
        [make, "--dry-run", "--always-make", target],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_every_pin_is_looked_up_and_one_that_cannot_be_fails(root: Path) -> None:
    commands = dry(root, "audit")
    assert "pip-audit --strict" in commands
    for name in PINS:
        assert name in commands


def test_the_bill_of_materials_is_of_what_the_image_installs(root: Path) -> None:
    commands = dry(root, "sbom")
    install = re.search(r"install .*--constraint constraints\.txt '\.\[service\]'", commands)
    assert install
    assert "cyclonedx-py environment" in commands
    dockerfile = (root / "Dockerfile").read_text()
    assert "\nARG EXTRAS=service\n" in dockerfile
    assert '--constraint constraints.txt ".[${EXTRAS}]"' in dockerfile


@pytest.mark.parametrize("name", PINS)
def test_every_version_is_pinned(root: Path, name: str) -> None:
    lines = (root / name).read_text().splitlines()
    pins = [line.partition(";")[0].strip() for line in lines if line and not line.startswith("#")]
    assert pins
    assert [pin for pin in pins if not re.fullmatch(r"[\w.\[\]-]+==[\w.!+]+", pin)] == []


@pytest.mark.parametrize(("name", "least"), CLOSED.items())
def test_no_version_with_a_known_hole_can_be_installed(root: Path, name: str, least: str) -> None:
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    stated = [
        Requirement(text)
        for extra, texts in extras["optional-dependencies"].items()
        for text in texts
        if re.match(rf"{name}\b(?!-)", text) and (name, extra) not in OWN_FILES
    ]
    assert stated
    for requirement in stated:
        (bound,) = [one.version for one in requirement.specifier if one.operator == ">="]
        assert Version(bound) >= Version(least), requirement
    pinned = re.search(rf"(?m)^{name}==(\S+)", (root / "constraints.txt").read_text())
    assert pinned
    assert Version(pinned[1]) >= Version(least)


# Training and calibration read the pictures of whoever runs them, and no stranger's.
OWN_FILES = {("pillow", "training"), ("pillow", "export")}
