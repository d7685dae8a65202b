"""`docker compose up` as README says it, on a real engine."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

LARGEST_IMAGE = 350 * 10**6  # bytes, as `docker images` counts: what README promises


@dataclass(frozen=True)
class Compose:
    """A compose project of its own on a copy of what the project ships."""

    folder: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str, timeout: float = 120) -> str:
        """Runs `docker compose` and returns what it printed to stdout."""
        done = subprocess.run(
            ["docker", "compose", *arguments],  # noqa: S607 - docker is found on the PATH
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"docker compose {' '.join(arguments)}\n{done.stderr}"
        return done.stdout


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *arguments],  # noqa: S607 - docker is found on the PATH
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def compose(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    if shutil.which("docker") is None or docker("info").returncode != 0:
        pytest.skip("no Docker engine answers")
    folder = tmp_path_factory.mktemp("foldserve")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("service", "training", "export", "models"):
        shutil.copytree(root / name, folder / name, ignore=ignore)
    for name in (
        "Dockerfile",
        "docker-compose.yml",
        ".dockerignore",
        "pyproject.toml",
        "constraints.txt",
        "README.md",
    ):
        shutil.copy(root / name, folder / name)
    if (root / "wheels").is_dir():
        shutil.copytree(root / "wheels", folder / "wheels")
    project = Compose(
        folder,
        os.environ
        | {
            "COMPOSE_PROJECT_NAME": f"foldserve-test-{os.getpid()}",
            "FOLDSERVE_PUBLISH": "127.0.0.1:0",
            "TRAIN_USER": f"{os.getuid()}:{os.getgid()}",
        },
    )
    try:
        yield project
    finally:
        project("--profile", "train", "down", "--volumes", "--timeout", "5")


@pytest.fixture(scope="module")
def container(compose: Compose) -> str:
    """The running service's container id."""
    compose("build", "service", timeout=900)
    compose("up", "--detach", "--wait", "--wait-timeout", "60", "service")
    return compose("ps", "--quiet", "service").strip()


def predicted_label(compose: Compose, root: Path) -> str:
    """Posts README's picture with README's curl; the port is asked anew, a restart changes it."""
    address = compose("port", "service", "8000").strip()
    done = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--fail-with-body"),
            *("--data-binary", f"@{root / 'tests/data/digit_7.png'}"),
            f"http://{address}/models/digits/predict",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(json.loads(done.stdout)["predictions"][0]["label"])


@pytest.mark.usefixtures("container")
def test_the_stack_answers_seven(compose: Compose, root: Path) -> None:
    assert predicted_label(compose, root) == "7"


def test_the_image_is_small(container: str) -> None:
    image = docker("inspect", "--format", "{{.Image}}", container).stdout.strip()
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image).stdout)
    assert size <= LARGEST_IMAGE, f"{size / 10**6:.0f} MB"


def test_the_service_runs_without_privileges(container: str) -> None:
    assert docker("exec", container, "id", "-u").stdout.strip() == "10001"
    status = docker("exec", container, "cat", "/proc/1/status").stdout
    capabilities = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff")]
    assert capabilities == ["0000000000000000"]
    assert "NoNewPrivs:\t1" in status


@pytest.mark.parametrize("path", ["/file", "/opt/foldserve/file", "/models/file"])
def test_nothing_but_tmp_can_be_written(container: str, path: str) -> None:
    refused = docker("exec", container, "python", "-c", f"open({path!r}, 'w')")
    assert "Read-only file system" in refused.stderr
    assert docker("exec", container, "python", "-c", "open('/tmp/file', 'w')").returncode == 0


@pytest.mark.parametrize("module", ["torch", "onnx", "onnxscript", "pip"])
def test_the_image_holds_nothing_that_it_does_not_need(container: str, module: str) -> None:
    done = docker("exec", container, "/opt/foldserve/bin/python", "-c", f"import {module}")
    assert "ModuleNotFoundError" in done.stderr


def test_the_image_holds_no_compiler(container: str) -> None:
    for command in ("gcc", "cc", "clang", "make"):
        assert docker("exec", container, "sh", "-c", f"command -v {command}").returncode != 0


@pytest.mark.usefixtures("container")
def test_the_train_profile_makes_the_model_that_the_service_then_serves(
    compose: Compose, root: Path
) -> None:
    wheel = next((root / "wheels").glob("torch-*.whl"), None)
    if wheel is None:
        pytest.skip("no torch wheel in ./wheels, and PyPI's would be several gigabytes")
    minor = wheel.name.split("-")[2].removeprefix("cp3")
    train = Compose(compose.folder, compose.environment | {"TRAIN_PYTHON_VERSION": f"3.{minor}"})
    shutil.rmtree(compose.folder / "models/digits")
    train("--profile", "train", "build", "train", timeout=900)
    train("--profile", "train", "run", "--rm", "train", timeout=900)
    compose("restart", "service")
    compose("up", "--detach", "--wait", "--wait-timeout", "60", "service")
    assert predicted_label(compose, root) == "7"


def test_the_service_ends_cleanly_when_it_is_stopped(compose: Compose, container: str) -> None:
    compose("stop", "service")
    state = docker("inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", container)
    assert state.stdout.split() == ["0", "false"]
