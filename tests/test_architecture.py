"""What the packages are made of: who loads what, how large a module is, what is never called."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("service", "training", "export", "foldserve_client")
FOLDERS = (*PACKAGES, "benchmarks", "examples", "tests")
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
        ("foldserve_client", {"numpy", "PIL", "pydantic", "service", "training", "export"}),
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


# Modules that unpickle, or pass objects between processes as pickles.
PICKLERS = {
    "pickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "copyreg",
    "multiprocessing", "torch.multiprocessing", "torch.utils.data", "torch.hub", "torch.package",
    "concurrent.futures.process", "concurrent.futures.ProcessPoolExecutor", "pandas", "yaml",
    "mnist1d", "sklearn", "logging.config",
}  # fmt: skip
# Of these what reads no pickle: an error; made from a formula, read from a CSV file.
READ_NO_PICKLE = {
    "pickle.UnpicklingError",
    "mnist1d.data.make_dataset",
    "sklearn.datasets.load_digits",
}
# Calls of what unpickles, but for one argument.
ONLY_WITH = {
    "torch.load": ("weights_only", "True"),
    "np.load": ("allow_pickle", "False"),
    "numpy.load": ("allow_pickle", "False"),
    "np.lib.format.read_array": ("allow_pickle", "False"),
    "keras.saving.load_model": ("safe_mode", "True"),
}
# Calls, by the last part of their names, that unpickle or run what a file says.
NEVER = {
    "read_pickle", "from_pickle", "DataLoader", "ProcessPoolExecutor", "fetch_openml",
    "get_dataset", "enable_unsafe_deserialization", "exec", "__import__",
}  # fmt: skip
# Calls that are right in one module alone: it takes the pickles out of a file first.
ONLY_IN = {"torch.export.load": "export/sources/program_file.py"}


def among(name: str, modules: set[str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:length]) in modules for length in range(1, len(parts) + 1))


def unpickling(source: str, path: str = "") -> list[str]:
    """What in a source could run code from a file."""
    tree = ast.parse(source)
    found = [name for name in {*imported(tree)} - READ_NO_PICKLE if among(name, PICKLERS)]
    for name, call in calls(tree):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        argument, value = ONLY_WITH.get(name, ("", ""))
        if argument and keywords.get(argument) != value:
            found.append(f"{name} without {argument}={value}")
        if name.split(".")[-1] in NEVER or among(name, {"torch.jit.load", "torch.hub"}):
            found.append(name)
        if ONLY_IN.get(name, path) != path:
            found.append(f"{name} outside {ONLY_IN[name]}")
    return found


def test_no_stage_unpickles(root: Path) -> None:
    found = {
        str(path): unpickling(path.read_text(), path.relative_to(root).as_posix())
        for path in sources(root)
    }
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
        "np.load(path, allow_pickle=True)",
        "np.lib.format.read_array(file)",
        "keras.saving.load_model(path)",
        "keras.saving.load_model(path, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "torch.export.load(path)",
        "torch.jit.load(path)",
        "torch.hub.load(name)",
        "from torch.utils.data import DataLoader",
        "from torch import multiprocessing; import torch.multiprocessing",
        "data.DataLoader(samples, num_workers=2)",
        "import multiprocessing.shared_memory",
        "from concurrent.futures import ProcessPoolExecutor",
        "from sklearn.datasets import fetch_openml",
        "from mnist1d.data import get_dataset",
        "from mnist1d.utils import from_pickle",
        "import pandas as pd",
        "import yaml",
        "exec(text)",
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
