"""Every command and program of the documents runs, and prints what they say."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.commands import URL, make_serve, shell, url_in
from tests.docs.documents import agrees, blocks, command_of, console, documents

# What documents show and this module does not run, and what runs it instead.
RUN_ELSEWHERE = {
    "docker compose up": "tests/docker/test_compose.py",
    "docker compose up proxy": "tests/docker/test_rolling_restart.py",
    "deploy/roll.sh": "tests/docker/test_rolling_restart.py",
    "docker compose --profile monitoring up": "tests/docker/test_monitoring.py",
    "docker compose --profile train run --rm train": "tests/docker/test_compose.py",
    "foldserve-train study training/configs/study.toml --jobs 2": (
        "tests/training/study/test_study.py"
    ),
}
# One epoch, or one plan, shows that a command runs; how far it gets stands in README's table. And
# a port may be taken on the machine of a test.
SHORTENED = {
    "foldserve-train": " --set training.epochs=1",
    "foldserve-serve check": " --running",
    "foldserve-serve tune": " --workers 1 --threads 1 --max-batch-size 8 --seconds 0.3 --rounds 1"
    " --p99-ms 60000",
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A folder with what the commands read, to write into."""
    folder = tmp_path_factory.mktemp("documents")
    for name in ("models", "tests/data", "tests/export", "training/configs"):
        shutil.copytree(root / name, folder / name)
    shutil.copy(root / "Makefile", folder)  # for make help
    return folder


@pytest.fixture(scope="module")
def greeting(root: Path) -> Iterator[list[str]]:
    """What `make serve` prints; the service runs as long as this module's tests do."""
    with make_serve(root) as lines:
        yield lines


@pytest.fixture(scope="module")
def url(greeting: list[str]) -> str:
    return url_in(greeting)


def shown(root: Path, language: str) -> list[tuple[str, str]]:
    """Blocks of this language, with the document that each stands in."""
    return [
        (name, block) for name, text in documents(root).items() for block in blocks(text, language)
    ]


def test_make_serve_prints_what_readme_says(root: Path, greeting: list[str], url: str) -> None:
    readme = documents(root)["README.md"]
    (block,) = [block for block in blocks(readme, "console") if block.startswith("$ make serve\n")]
    assert block.replace(URL, url).splitlines()[1:] == greeting


def test_every_command_prints_what_its_document_says(root: Path, url: str, workplace: Path) -> None:
    ran = 0
    for name, block in shown(root, "console"):
        command, output = console(block)
        if command == "make serve":
            continue
        done = shell(command.replace(URL, url), workplace)
        assert done.returncode == 0, f"{name}: {command}\n{done.stdout}{done.stderr}"
        assert not output or agrees(output, done.stdout), f"{name}: {command}\n{done.stdout}"
        ran += 1
    assert ran > 0


def test_every_program_runs(root: Path, url: str, workplace: Path) -> None:
    programs = shown(root, "python")
    assert programs
    for name, program in programs:
        done = shell(command_of(program.replace(URL, url)), workplace)
        assert done.returncode == 0, f"{name}: {done.stderr}"


@pytest.mark.slow
def test_every_other_command_runs(root: Path, workplace: Path) -> None:
    ran = 0
    for name, block in shown(root, "sh"):
        for command in block.splitlines():
            if command in RUN_ELSEWHERE:
                assert (root / RUN_ELSEWHERE[command]).is_file()
                continue
            more = [words for start, words in SHORTENED.items() if command.startswith(start)]
            done = shell(command + "".join(more), workplace)
            assert done.returncode == 0, f"{name}: {command}\n{done.stdout}{done.stderr}"
            ran += 1
    assert ran > 0
