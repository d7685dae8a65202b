"""README is a contract: its tables are complete and true, its commands print what it says."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import onnx
import pytest
from pydantic import BaseModel

import export.manifest
import export.wording
from service import errors
from service.app import create_app
from service.environment import variable
from service.rpc.messages import SERVICE, protocol
from service.settings import Settings
from training import datasets, models
from training.augment import AugmentationConfig
from training.config import LoopConfig
from training.datasets import DataOptions
from training.optim import OptimizerConfig
from training.schedule import ScheduleConfig

README_URL = "http://127.0.0.1:8000"
ELISION = "…"
FRACTION = re.compile(r"\d\.\d{6,}(?:e-\d+)?")
PATIENCE_S = 120

# What README shows and this module does not run, and what runs it instead.
RUN_ELSEWHERE = {
    "docker compose up": "tests/docker/test_compose.py",
    "docker compose up proxy": "tests/docker/test_rolling_restart.py",
    "deploy/roll.sh": "tests/docker/test_rolling_restart.py",
    "docker compose --profile monitoring up": "tests/docker/test_monitoring.py",
    "docker compose --profile train run --rm train": "tests/docker/test_compose.py",
}
# One epoch, or one plan, shows that a command runs; how far it gets stands in README's table.
SHORTENED = {
    "foldserve-train": " --set training.epochs=1",
    "foldserve-serve": " --workers 1 --threads 1 --max-batch-size 8 --seconds 0.3 --rounds 1"
    " --p99-ms 60000",
}


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text()


def rows(readme: str, *header: str) -> list[list[str]]:
    """The cells of the table with this header, without the marks for code."""
    lines = readme.splitlines()
    start = lines.index(f"| {' | '.join(header)} |") + 2
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")])
    return table


def blocks(readme: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)


def leaves(error: type[errors.ServiceError]) -> Iterator[type[errors.ServiceError]]:
    for child in error.__subclasses__():
        yield from leaves(child) if child.__subclasses__() else [child]


def test_every_setting_is_documented_with_its_default(readme: str) -> None:
    expected = [
        [
            variable(name),
            "none" if field.default in (None, ()) else str(field.default),
            field.description,
        ]
        for name, field in Settings.model_fields.items()
    ]
    assert rows(readme, "variable", "default", "meaning") == expected


def test_every_endpoint_is_documented(readme: str) -> None:
    described = [
        [f"{method.upper()} {path}", operation["description"].replace("`", "")]
        for path, operations in create_app(Settings()).openapi()["paths"].items()
        for method, operation in operations.items()
    ]
    table = rows(readme, "request", "answer")
    assert table[: len(described)] == described
    assert table[len(described) :] == [
        ["GET /", "The page: try a model, read its card, watch the server."],
        [
            "GET /docs, /openapi.json",
            "This interface as a document, and the page that shows it; all files are the server's.",
        ],
    ]


def test_every_error_code_is_documented_with_its_status(readme: str) -> None:
    expected = [
        [str(leaf.status), leaf.code, (leaf.__doc__ or "").strip()]
        for leaf in leaves(errors.ServiceError)
    ]
    assert rows(readme, "status", "code", "meaning") == expected


def test_every_outcome_of_a_fold_is_documented_in_the_words_of_the_report(readme: str) -> None:
    documented = [row[0] for row in rows(readme, "in the report", "what became of a batch norm")]
    assert documented == list(export.wording.WORDS.values())


def test_every_network_and_every_data_set_is_documented(readme: str) -> None:
    networks = [row[0] for row in rows(readme, "network", "what it is")]
    assert sorted(", ".join(networks).split(", ")) == sorted(models.NAMES)
    sets = [row[0] for row in rows(readme, "data set", "where it comes from")]
    assert sorted(sets) == sorted(datasets.NAMES)


def test_every_key_of_a_training_configuration_is_documented(readme: str) -> None:
    documented = {row[0]: row[1] for row in rows(readme, "section", "keys, beside `name`")}
    sections: dict[str, set[str]] = {
        "data": {
            name for options in get_args(get_args(DataOptions)[0]) for name in fields(options)
        },
        "training": fields(LoopConfig),
        "optimizer": fields(OptimizerConfig),
        "schedule": fields(ScheduleConfig),
        "augmentation": fields(AugmentationConfig),
    }
    assert documented.keys() == sections.keys() | {"model"}
    for section, names in sections.items():
        stated = set(re.findall(r"\b[a-z_]+\b", documented[section]))
        assert names - stated == set(), section


def test_every_method_of_grpc_is_named(readme: str) -> None:
    methods = protocol().pool.FindServiceByName(SERVICE).methods
    assert [each.name for each in methods if f"`{each.name}`" not in readme] == []


def fields(model: type[BaseModel]) -> set[str]:
    return model.model_fields.keys() - {"name"}


def test_the_figure_of_the_bundled_model_is_its_manifests(readme: str, root: Path) -> None:
    model = onnx.load(root / "models/digits/1/model.onnx")
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    accuracy = json.loads(metadata[export.manifest.KEY])["metrics"]["accuracy"]
    figures = [row[1] for row in rows(readme, "claim", "figure", "command") if "bundled" in row[0]]
    assert figures == [f"{accuracy:.1%}".replace("%", " %")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A folder with what README's commands read, to write into."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("models", "tests/data", "tests/export", "training/configs"):
        shutil.copytree(root / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def greeting(root: Path) -> Iterator[list[str]]:
    """What `make serve` prints; the service runs as long as this module's tests do."""
    clean = {name: value for name, value in os.environ.items() if "FOLDSERVE" not in name}
    process = subprocess.Popen(
        ["make", "--silent", "serve"],  # noqa: S607 - found on the PATH
        cwd=root,
        env=clean | {"FOLDSERVE_PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield [process.stdout.readline().rstrip("\n"), process.stdout.readline().rstrip("\n")]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def url(greeting: list[str]) -> str:
    found = re.search(r"http://[\d.:]+", greeting[0])
    assert found, greeting
    return found[0]


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command as a user with the virtual environment's commands on the path would."""
    return subprocess.run(
        ["sh", "-c", command],  # noqa: S607 - found on the PATH
        cwd=cwd,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def agrees(stated: str, printed: str) -> bool:
    """Whether an output is README's: an elided line stands for any, a long fraction for its value.

    Processors sum in different orders, so a probability differs in its last digits.
    """
    skeleton = re.escape(FRACTION.sub("FRACTION", stated.strip("\n")))
    skeleton = skeleton.replace(f"{ELISION}\\\n", "(?:.*\n)*")
    found = re.fullmatch(skeleton, FRACTION.sub("FRACTION", printed.strip("\n")))
    numbers = [[float(number) for number in FRACTION.findall(text)] for text in (stated, printed)]
    return found is not None and (ELISION in stated or numbers[0] == pytest.approx(numbers[1]))


def test_make_serve_prints_what_readme_says(readme: str, greeting: list[str], url: str) -> None:
    (block,) = [block for block in blocks(readme, "console") if block.startswith("$ make serve\n")]
    assert block.replace(README_URL, url).splitlines()[1:] == greeting


def test_every_command_prints_what_readme_says(readme: str, url: str, workplace: Path) -> None:
    ran = 0
    for block in blocks(readme, "console"):
        command, output = block.removeprefix("$ ").split("\n", maxsplit=1)
        if command == "make serve":
            continue
        done = shell(command.replace(README_URL, url), workplace)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert agrees(output, done.stdout), f"{command}\n{done.stdout}"
        ran += 1
    assert ran > 0


def test_every_program_runs(readme: str, url: str, workplace: Path) -> None:
    programs = blocks(readme, "python")
    assert programs
    for program in programs:
        there = program.replace(README_URL, url)
        done = shell(f"python - <<'END'\n{there}END", workplace)
        assert done.returncode == 0, done.stderr


def test_the_comparison_of_outputs_can_fail() -> None:
    assert agrees("one\n…\nthree\n", "one\ntwo\nthree")
    assert not agrees("one\n…\nthree\n", "one\ntwo\nfour")
    assert not agrees("one\n", "one\ntwo")
    assert agrees('{"probability":0.899503600}', '{"probability":0.89950361}')
    assert not agrees('{"probability":0.899503600}', '{"probability":0.89960360}')


@pytest.mark.slow
def test_every_other_command_runs(readme: str, root: Path, workplace: Path) -> None:
    ran = 0
    for block in blocks(readme, "sh"):
        for command in block.splitlines():
            if command in RUN_ELSEWHERE:
                assert (root / RUN_ELSEWHERE[command]).is_file()
                continue
            done = shell(command + SHORTENED.get(command.split()[0], ""), workplace)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            ran += 1
    assert ran > 0


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
