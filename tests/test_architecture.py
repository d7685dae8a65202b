"""What the packages are made of: who loads what, how large a module is, what is never called."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("service", "training", "export")
FOLDERS = (*PACKAGES, "benchmarks", "tests")
KEPT = (".py", ".txt", ".lua", ".json", ".toml", ".proto")  # what is written by hand
LONGEST_MODULE = 300  # lines; a longer one holds two ideas
SAYS_NOTHING = {"utils", "helpers", "common", "base", "core", "misc"}


def sources(root: Path) -> list[Path]:
    return [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]


def loaded_by(statement: str, root: Path) -> set[str]:
    """Top-level modules that a fresh process holds after a statement."""
    script = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("service.app", {"grpc", "torch", "onnx", "onnxscript", "onnx_ir", "training", "export"}),
        ("service.__main__", {"torch", "onnx", "onnxruntime", "fastapi", "training", "export"}),
        ("training.__main__", {"onnx", "onnxruntime", "fastapi", "service", "export"}),
        ("export.__main__", {"torch", "keras", "fastapi", "service"}),
        ("export.folding", {"torch", "onnxruntime", "training"}),
    ],
)
def test_a_stage_loads_nothing_that_it_does_not_need(
    module: str, never: set[str], root: Path
) -> None:
    assert loaded_by(f"import {module}", root) & never == set()


def test_the_check_of_what_is_loaded_can_fail(root: Path) -> None:
    assert "torch" in loaded_by("import training.models", root)


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call with its dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            yield ast.unparse(node.func), node


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def unpickling(source: str) -> list[str]:
    """What in a source could run code from a file."""
    tree = ast.parse(source)
    names = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    reads_nothing = {"pickle.UnpicklingError"}  # what weights_only=True raises
    found = [name for name in set(imported(tree)) - reads_nothing if name.split(".")[0] in names]
    for name, call in calls(tree):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name == "torch.load" and keywords.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if name in ("np.load", "numpy.load") and keywords.get("allow_pickle") != "False":
            found.append("np.load without allow_pickle=False")
    return found


def test_no_stage_unpickles(root: Path) -> None:
    found = {str(path): unpickling(path.read_text()) for path in sources(root)}
    assert {path: what for path, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "from pickle import UnpicklingError, Unpickler",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
    ],
)
def test_the_check_for_unpickling_can_fail(source: str) -> None:
    assert unpickling(source)


def test_every_module_holds_one_idea_and_says_which(root: Path) -> None:
    for path in sources(root):
        lines = path.read_text().splitlines()
        assert len(lines) <= LONGEST_MODULE, f"{path} has {len(lines)} lines"
        assert path.stem not in SAYS_NOTHING, path


def hidden(folder: Path) -> list[str]:
    """The sources of a checkout that git ignores, and ruff with it."""
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--", *FOLDERS],  # noqa: S607 -- git, wherever it is
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for path in listed.stdout.splitlines() if path.endswith(KEPT)]


def test_no_pattern_of_git_hides_a_source(root: Path) -> None:
    if not (root / ".git").exists():
        pytest.skip("no checkout")
    assert hidden(root) == []


def test_the_check_for_hidden_sources_can_fail(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)  # noqa: S607 -- git, wherever it is
    (tmp_path / ".gitignore").write_text("peers/\n")
    for name in ("app.py", "app.txt", "app.pyc"):
        file = tmp_path / "benchmarks/peers" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert hidden(tmp_path) == ["benchmarks/peers/app.py", "benchmarks/peers/app.txt"]


def test_only_one_module_loads_weights_with_torch(root: Path) -> None:
    users = {
        path.relative_to(root).as_posix()
        for path in sources(root)
        for name, _ in calls(ast.parse(path.read_text()))
        if name == "torch.load"
    }
    assert users <= {"export/sources/torch.py"}
