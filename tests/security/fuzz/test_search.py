"""Damaged bytes in every reader and loader: taken or refused in words, and nobody dies of them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.security.fuzz.kinds import MODELS, READERS
from tests.security.fuzz.search import PATIENCE_S, held
from tests.security.fuzz.target import CORPUS, SECONDS, SEED, SHORT_S

# Of the short form: a thousand inputs of most kinds, and a hundred models.
SHORT_SEARCH_S = {"readers": 0.2, "models": 0.4}

# Imports, and the seeds of every kind, on a loaded machine.
STARTING_S = 60

# What a process keeps of a search of any length; the largest input has some kilobytes.
MOST_GROWTH_MEBIBYTES = 96


@pytest.mark.parametrize("kinds", ["readers", "models"])
def test_damaged_bytes_are_taken_or_refused(
    root: Path, tmp_path: Path, kinds: str, figure: Callable[..., None]
) -> None:
    names = [*(READERS if kinds == "readers" else MODELS)]
    seconds = SECONDS if SECONDS > SHORT_S else SHORT_SEARCH_S[kinds]
    all_told = searched(root, tmp_path, names, seconds)
    found = {CORPUS / told["name"]: told["found"] for told in all_told if told["found"]}
    assert not found, f"to go there, found with FUZZ_SEED={SEED}"
    for told in all_told:
        print(told, f"FUZZ_SEED={SEED}")  # noqa: T201 -- see `tell`
        name = told["name"]
        assert told["tried"] > told["taken"] > 0  # some are not damaged where it matters
        assert told["grown_mebibytes"] < MOST_GROWTH_MEBIBYTES
        figure(f"Fuzzing of {name} in-process", inputs=told["tried"], crashed=0, hung=0, wrong=0)


def searched(root: Path, folder: Path, names: list[str], seconds: float) -> list[dict[str, Any]]:
    """Return what searches of some kinds told; they are a process, which may die of them."""
    where = [str(folder), str(seconds), str(SEED)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.fuzz.kinds", *where, *names],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=STARTING_S + len(names) * (seconds + PATIENCE_S),
    )
    assert done.returncode == 0, f"it ended at {last(folder)}: {done.stderr[-3000:]}"
    return [json.loads((folder / f"{name}.json").read_text()) for name in names]


def last(folder: Path) -> str:
    """Return where the input lies that a process ended at, which is none of a file's own yet."""
    for path in folder.glob("*.last"):
        found = path.with_suffix(".ended")
        found.write_bytes(held(path))
        return f"{found}, to go into {CORPUS / path.stem}"
    return "none of its inputs"
