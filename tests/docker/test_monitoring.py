"""`docker compose --profile monitoring up`: Prometheus reads the service; Grafana is set up to."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.docker.conftest import Compose, docker
from tests.monitoring.prometheus import Prometheus, until
from tests.service import keys

STORE = "prometheus"  # a volume
OWNER = "65534:65534"


@pytest.fixture(scope="module")
def monitored(compose: Compose, image: None) -> Iterator[Compose]:  # noqa: ARG001 -- it has to be there
    """A stack of its own whose service needs API keys, and whose Prometheus has one."""
    name = f"{compose.environment['COMPOSE_PROJECT_NAME']}-monitored"
    settings, key = compose.folder / "foldserve.env", compose.folder / "metrics.key"
    keys.put(compose.folder / "models").chmod(0o644)
    settings.write_text("FOLDSERVE_API_KEYS=/models/keys.toml\n")
    key.write_text(keys.KEYS["metrics"])
    chosen = {
        "COMPOSE_PROJECT_NAME": name,
        "FOLDSERVE_PUBLISH_PROMETHEUS": "127.0.0.1:0",
        "FOLDSERVE_METRICS_KEY_FILE": "./metrics.key",
    }
    project = Compose(compose.folder, compose.environment | chosen)
    _own(f"{name}_{STORE}")
    try:
        project("up", "--detach", "--wait", "--wait-timeout", "90", "service", "prometheus")
        yield project
    finally:
        project("--profile", "monitoring", "down", "--volumes", "--timeout", "5")
        for file in (settings, key, compose.folder / "models/keys.toml"):
            file.unlink()


def _own(volume: str) -> None:
    """Give a new volume the owner that Prometheus' own image gives it, and a stand-in does not."""
    own = ["run", "--rm", "--user", "0:0", "--volume", f"{volume}:/prometheus"]
    done = docker(*own, "--entrypoint", "chown", "prom/prometheus:latest", OWNER, "/prometheus")
    assert done.returncode == 0, done.stderr


def reading(stack: Compose) -> Prometheus:
    return Prometheus(f"http://{stack('port', 'prometheus', '9090').strip()}")


def test_prometheus_finds_the_service_and_reads_it_with_its_key(monitored: Compose) -> None:
    prometheus = reading(monitored)
    until(lambda: prometheus.query('up{job="foldserve"} == 1'), lambda: prometheus.get("targets"))
    (info,) = prometheus.query("foldserve_build_info")
    assert info["metric"]["instance"].endswith(":8000")
    until(lambda: all(r["health"] == "ok" for r in prometheus.rules("alerting").values()))


def test_without_the_key_nothing_is_told(monitored: Compose) -> None:
    address = monitored("port", "service", "8000").strip()
    assert httpx.get(f"http://{address}/metrics").status_code == 401


def test_prometheus_runs_without_privileges(monitored: Compose) -> None:
    container = monitored("ps", "--quiet", "prometheus").strip()
    assert docker("exec", container, "id", "-u").stdout.strip() == OWNER.partition(":")[0]
    status = docker("exec", container, "cat", "/proc/1/status").stdout
    capabilities = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff")]
    assert capabilities == ["0000000000000000"]
    refused = docker("exec", container, "sh", "-c", "echo x > /etc/prometheus/prometheus.yml")
    assert "Read-only file system" in refused.stderr


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_what_watches_has_as_few_rights_as_what_is_watched(compose: Compose, name: str) -> None:
    shown = compose("--profile", "monitoring", "config", "--format", "json")
    services: dict[str, Any] = json.loads(shown)["services"]
    for rule in ("read_only", "cap_drop", "security_opt", "init", "restart"):
        assert services[name][rule] == services["service"][rule]
    assert services[name]["profiles"] == ["monitoring"]
    assert int(services[name]["mem_limit"]) > 0
    assert services[name]["pids_limit"] > 0
    assert services[name]["user"].split(":")[0] != "0"
    assert {port["host_ip"] for port in services[name]["ports"]} == {"127.0.0.1"}


def test_an_image_with_the_extra_makes_traces(compose: Compose) -> None:
    name = f"{compose.environment['COMPOSE_PROJECT_NAME']}-tracing"
    extras = ["--build-arg", "EXTRAS=service,tracing"]
    built = subprocess.run(
        ["docker", "build", "--quiet", "--target", "service", *extras, "--tag", name, "."],  # noqa: S607 - docker is found on the PATH
        cwd=compose.folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    try:
        done = docker("run", "--rm", name, "python", "-c", "import service.telemetry.spans")
        assert done.returncode == 0, done.stderr
    finally:
        docker("image", "rm", name)
