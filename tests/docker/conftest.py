"""The stack of docker-compose.yml, on a real engine."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


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


@pytest.fixture(scope="package")
def compose(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    if shutil.which("docker") is None or docker("info").returncode != 0:
        pytest.skip("no Docker engine answers")
    folder = tmp_path_factory.mktemp("foldserve")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("service", "training", "export", "models", "deploy"):
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
            "FOLDSERVE_PUBLISH_GRPC": "127.0.0.1:0",
            "TRAIN_USER": f"{os.getuid()}:{os.getgid()}",
        },
    )
    try:
        yield project
    finally:
        project("--profile", "*", "down", "--volumes", "--timeout", "5")


@pytest.fixture(scope="package")
def image(compose: Compose) -> None:
    """The service's image, made."""
    compose("build", "service", timeout=900)
