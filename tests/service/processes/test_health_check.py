"""``foldserve-serve health`` asks the server that the same environment describes."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from typer.testing import CliRunner

from service.command_line import cli
from tests.service import certificates, keys
from tests.service.certificates import files
from tests.service.servers import PATIENCE_S, Server, server, taken_port

pytestmark = pytest.mark.slow


def health(**choices: Any) -> tuple[int, str]:
    """Run the command with an environment; return its exit status and what it says."""
    clean = {name: value for name, value in os.environ.items() if "FOLDSERVE" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "service", "health"],
        env=clean | {f"FOLDSERVE_{name}": str(value) for name, value in choices.items()},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def free_port(host: str = "127.0.0.1") -> int:
    with socket.create_server((host, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def served(models: Path, **choices: Any) -> Iterator[tuple[Server, dict[str, Any]]]:
    """Serve, and give what an environment of the same server is."""
    same = {"PORT": free_port(), "MODELS": models, **choices}
    with server(models, **same) as running:
        assert running.greeting
        yield running, same


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])  # noqa: S104 -- a test's
def test_a_server_that_is_ready_is_healthy_wherever_it_listens(models: Path, host: str) -> None:
    with served(models, HOST=host) as (running, same):
        assert health(**same) == (0, "")
        assert running.stop() == 0
    status, said = health(**same)
    assert status == 1
    assert "Connection refused" in said
    assert len(said.splitlines()) == 1


def test_it_needs_no_key_and_no_proxy(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with served(models, API_KEYS=keys.put(tmp_path)) as (_, same):
        assert health(**same) == (0, "")


def test_a_server_that_drains_is_not_healthy(models: Path) -> None:
    with served(models, DRAIN_DELAY_S=600, LOG_LEVEL="info") as (running, same):
        running.process.terminate()
        assert running.process.stderr is not None
        assert any("draining" in line for line in running.process.stderr)
        assert health(**same) == (1, "foldserve-serve: not ready: /v2/health/ready answers 503\n")


def test_it_asks_over_tls_whoever_has_signed_the_certificate(models: Path, tmp_path: Path) -> None:
    given = files(tmp_path)
    with served(models, **given.choices()) as (_, same):
        assert health(**same) == (0, "")
        given.rotate(trustme.CA())
        assert health(**same) == (0, "")


def test_where_clients_need_a_certificate_it_shows_the_servers_own(
    models: Path, tmp_path: Path
) -> None:
    given = files(tmp_path)
    own = certificates.put(tmp_path, given.authority)
    with served(models, **given.choices(TLS_CLIENT_CA=own)) as (_, same):
        assert health(**same) == (0, "")


def test_where_that_one_is_not_taken_it_asks_the_control_port_if_there_is_one(
    models: Path, tmp_path: Path
) -> None:
    given = files(tmp_path)
    others = certificates.put(tmp_path, trustme.CA())
    control = free_port()
    choices = given.choices(TLS_CLIENT_CA=others, CONTROL_PORT=control)
    with served(models, **choices) as (_, same):
        assert health(**same) == (0, "")
        del same["CONTROL_PORT"]
        status, said = health(**same)
        assert status == 1
        assert "FOLDSERVE_CONTROL_PORT" in said


def test_a_server_that_answers_nothing_is_not_waited_for(models: Path) -> None:
    with taken_port() as port:
        status, said = health(PORT=port, MODELS=models)
    assert status == 1
    assert "timed out" in said


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"PORT": 0}, "FOLDSERVE_PORT=0: "),
        ({"PROT": 1}, "FOLDSERVE_PROT is no setting"),
        ({"TLS_KEY": "k"}, "FOLDSERVE_TLS_CERTIFICATE is missing"),
    ],
)
def test_an_environment_of_no_server_is_told(choices: dict[str, Any], reason: str) -> None:
    status, said = health(**choices)
    assert status == 1
    assert said.startswith("foldserve-serve: not ready: ")
    assert reason in said
    assert len(said.splitlines()) == 1


def test_the_command_is_in_the_help() -> None:
    assert "health" in CliRunner().invoke(cli, ["--help"]).output


def test_it_is_the_same_command_with_more_words_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDSERVE_PORT", str(free_port()))
    found = CliRunner().invoke(cli, ["health"])
    assert found.exit_code == 1
    assert "Connection refused" in found.stderr
