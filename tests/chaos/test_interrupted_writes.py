"""Builds that are killed leave the old artifact or the new one, whole, and a lock that is true."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest

from export import lock
from export.artifact import Place
from service.artifact.files import files_of_model
from service.artifact.lock import check_locked
from service.errors import ModelLoadError
from tests.service import zoo

LONG = os.environ.get("CHAOS") == "long"
WRITERS = 100 if LONG else 12
BUILDS = 100 if LONG else 3
# Of a whole run of the writer's two writes: each is a few milliseconds on a disk, so that every
# step of them is hit now and then.
LATEST_S = 0.05
PATIENCE_S = 120

WRITER = """
import sys
from pathlib import Path
from export import lock
from export.artifact import Place
place = Place(Path(sys.argv[1]), "m", 1)
contents = [Path(name).read_bytes() for name in sys.argv[2:]]
print("ready", flush=True)
while True:
    for content in contents:
        lock.put(place, content, page=str(len(content)))
"""


def kill_after(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Whether it was still at work, and so was killed."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(PATIENCE_S)
        return True
    return False


def agrees(model: Path) -> bool:
    """Whether a service that asks for the lock serves this file."""
    try:
        check_locked(model.parents[2], files_of_model(model, 2**30))
    except ModelLoadError as error:
        assert "is not the file of lock.json" in str(error)  # noqa: PT017 -- either is right
        return False
    return True


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("seed", range(WRITERS))
def test_a_write_that_is_killed_leaves_one_whole_artifact(tmp_path: Path, seed: int) -> None:
    """A write that is killed leaves one whole artifact, and the next build settles the lock."""
    place = Place(tmp_path / "models", "m", 1)
    made = [zoo.doubler(), zoo.spread(50_000)]
    contents = [one.SerializeToString() for one in made]
    files = [tmp_path / "one", tmp_path / "two"]
    for path, content in zip(files, contents, strict=True):
        path.write_bytes(content)
    lock.put(place, contents[0], page=str(len(contents[0])))
    command = [sys.executable, "-c", WRITER, *map(str, (place.repository, *files))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert kill_after(process, random.Random(seed).uniform(0, LATEST_S))  # noqa: S311 -- a time

    found = place.model.read_bytes()
    assert found in contents
    pages = {str(len(content)) for content in contents}
    assert (place.folder / "report.html").read_text() in pages
    agrees(place.model)  # or is refused as another file, and never anything else

    lock.put(Place(place.repository, "other", 1), contents[0])
    assert place.model.read_bytes() == found
    assert agrees(place.model)
    lock.put(place, contents[1])
    assert names(place.repository) == {"lock.json", "m/1/model.onnx", "other/1/model.onnx"}
    assert agrees(place.model)


def build(repository: Path, seed: int) -> "subprocess.Popen[str]":
    given = ["--input", "3x8x8", "--name", "small", "--samples", "2", "--fold", "safe", "--force"]
    source = "tests.export.networks:small"
    command = [sys.executable, "-m", "export", "build", source, *given]
    return subprocess.Popen(
        [*command, "--output", str(repository), "--seed", str(seed)],
        stdout=subprocess.DEVNULL,
        text=True,
    )


def test_a_build_that_is_killed_leaves_one_whole_artifact(tmp_path: Path) -> None:
    """`foldserve-export build --force` that is killed leaves one whole artifact and its lock."""
    place = Place(tmp_path, "small", 1)
    start = time.monotonic()
    assert build(tmp_path, 0).wait(PATIENCE_S) == 0
    whole_s = time.monotonic() - start
    chance = random.Random(5)  # noqa: S311 -- a time
    for seed in range(1, BUILDS + 1):
        before = place.model.read_bytes()
        was_killed = kill_after(build(tmp_path, seed), chance.uniform(0.5, 1.0) * whole_s)
        after = place.model.read_bytes()
        onnx.checker.check_model(onnx.load_from_string(after), full_check=True)
        assert was_killed or after != before
        if after == before:
            assert agrees(place.model)
    assert build(tmp_path, 99).wait(PATIENCE_S) == 0
    assert agrees(place.model)
    assert names(tmp_path) == {"lock.json", "small/1/model.onnx", "small/1/report.html"}
