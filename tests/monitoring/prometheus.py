"""A real Prometheus with the project's configuration, in a process of its own."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.servers import PATIENCE_S

MONITORING = Path(__file__).resolve().parents[2] / "deploy/monitoring"
RULES = MONITORING / "rules/foldserve.yml"

# So often that a test has what a rate needs within a second.
SCRAPE_S = 0.25

_DISCOVERY = """\
    dns_sd_configs:
      - names: [service, replica]
        type: A
        port: 8000
        refresh_interval: 5s
"""
_KEY = "/run/secrets/metrics_key"


@dataclass(frozen=True)
class Prometheus:
    """One that is ready.

    Args:
        url: of its API.
    """

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now."""
        answer = httpx.post(
            f"{self.url}/api/v1/query", data={"query": expression}, timeout=PATIENCE_S
        )
        assert answer.status_code == 200, f"{expression}\n{answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def rules(self, kind: str) -> dict[str, dict[str, Any]]:
        """The rules of a type, `recording` or `alerting`, by name, as they were evaluated last."""
        groups = self.get("rules")["groups"]
        return {
            rule["name"]: rule
            for group in groups
            for rule in group["rules"]
            if rule["type"] == kind
        }


def tool(name: str) -> str:
    """Where a program of Debian's package `prometheus` is."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}; on Debian and Ubuntu: apt install prometheus")
    return found


def promtool(*arguments: str | Path, stdin: bytes | None = None) -> str:
    """Run promtool; return what it says, once it has found nothing wrong."""
    done = subprocess.run(
        [tool("promtool"), *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE_S,
        check=False,
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said
    return said


def configure(folder: Path, key: Path, *targets: str) -> Path:
    """Write the project's configuration with other targets and another key, in a hurry."""
    shutil.copytree(MONITORING, folder, dirs_exist_ok=True)
    file = folder / "prometheus.yml"
    text = file.read_text()
    for old, new in (
        (_DISCOVERY, f"    static_configs: [{{targets: {json.dumps(targets)}}}]\n"),
        (_KEY, str(key)),
        ("_interval: 15s", f"_interval: {SCRAPE_S * 1000:g}ms"),
        ("127.0.0.1:9090", "127.0.0.1:1"),
    ):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return file


@contextmanager
def prometheus(configuration: Path) -> Iterator[Prometheus]:
    """Run Prometheus for the time of the block."""
    port = _free_port()
    command = [
        tool("prometheus"),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={configuration.parent / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    running = Prometheus(f"http://127.0.0.1:{port}")
    log = configuration.parent / "log"
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            until(lambda: process.poll() is not None or _is_ready(running), log.read_text)
            assert process.poll() is None, log.read_text()
            yield running
        finally:
            process.kill()


def until(condition: Callable[[], object], what: Callable[[], object] = str) -> None:
    """Wait for another process to be somewhere."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(SCRAPE_S / 5)


def _is_ready(running: Prometheus) -> bool:
    try:
        return httpx.get(f"{running.url}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
