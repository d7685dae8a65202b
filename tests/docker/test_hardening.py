"""Every service of docker-compose.yml is confined; compose reads the file, without an engine."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SERVICES = ("service", "replica", "proxy", "train", "prometheus", "grafana")
# What each may change: the models and runs that it makes, what it has measured, its own state.
WRITES = {
    "train": {"/models", "/work/runs"},
    "prometheus": {"/prometheus"},
    "grafana": {"/var/lib/grafana"},
}
MEBIBYTE = 2**20
# What would undo the rest, whatever it is set to.
NEVER = ("privileged", "cap_add", "devices", "pid", "ipc", "userns_mode", "network_mode", "cgroup")


@pytest.fixture(scope="module")
def services(root: Path) -> dict[str, Any]:
    """The services as compose reads them, of every profile, with nothing of our environment."""
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("no docker compose is installed")
    done = subprocess.run(
        [docker, "compose", "--profile", "*", "config", "--format", "json", "--no-path-resolution"],
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "COMPOSE_PROJECT_NAME": "hardening"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


def test_no_service_is_forgotten_here(services: dict[str, Any]) -> None:
    assert services.keys() == {*SERVICES}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_privilege_and_can_write_nothing(
    services: dict[str, Any], name: str
) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True  # it reaps what a process leaves
    assert [option for option in NEVER if service.get(option)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_bounds(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert 64 * MEBIBYTE <= int(service["mem_limit"]) <= 8 * 1024 * MEBIBYTE
    assert 16 <= service["pids_limit"] <= 512
    for mount in service.get("tmpfs", []):
        assert re.search(r"size=\d+m", mount)  # it is memory


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_reached_from_this_machine_alone(services: dict[str, Any], name: str) -> None:
    for port in services[name].get("ports", []):
        assert port["host_ip"] == "127.0.0.1"
    assert name not in ("replica", "train") or not services[name].get("ports")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_mounts_nothing_else_that_it_could_change(
    services: dict[str, Any], name: str
) -> None:
    volumes = services[name].get("volumes", [])
    assert not any("docker.sock" in str(volume["source"]) for volume in volumes)
    changed = {volume["target"] for volume in volumes if not volume.get("read_only")}
    assert changed == WRITES.get(name, set())


def test_nothing_runs_as_root(services: dict[str, Any], root: Path) -> None:
    """By the image, or by the file where the image is another's."""
    for name in ("proxy", "train", "prometheus", "grafana"):
        assert int(services[name]["user"].partition(":")[0]) > 0
    stages = re.split(r"(?m)^FROM ", (root / "Dockerfile").read_text())
    for name in ("service", "train"):
        (stage,) = [one for one in stages if re.search(rf"^\S+ AS {name}\n", one)]
        (user,) = re.findall(r"(?m)^USER (\d+):\d+$", stage)
        assert int(user) > 0
        assert "user" not in services["service"]
