"""The scripts of the page hold under a type checker, by the types in their comments."""

import subprocess
from pathlib import Path

import pytest

CHECKER = ".venv/node/node_modules/.bin/tsc"
PATIENCE_S = 120


def check(root: Path, project: Path) -> "subprocess.CompletedProcess[str]":
    checker = root / CHECKER
    if not checker.exists():
        pytest.skip(f"there is no {CHECKER}: apt install npm, make install")
    command = [str(checker), "--project", str(project)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_the_scripts_have_the_types_that_they_state(root: Path) -> None:
    done = check(root, root / "tests/browser")
    assert (done.stdout, done.returncode) == ("", 0)


def test_the_checker_sees_a_wrong_type(root: Path, tmp_path: Path) -> None:
    script = "/** @param {number} a */\nexport const half = (a) => a / 2;\nhalf('x');\n"
    (tmp_path / "wrong.js").write_text(script)
    extended = f'{{"extends": "{root}/tests/browser/tsconfig.json", "include": ["*.js"]}}'
    (tmp_path / "tsconfig.json").write_text(extended)
    assert "TS2345" in check(root, tmp_path).stdout
