"""``foldserve-serve key`` makes a key that the server then knows."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.service.certificates import replace
from tests.service.servers import PATIENCE_S, refused, server

pytestmark = pytest.mark.slow


def made(*arguments: str) -> tuple[str, str]:
    """Return a new key and its entry."""
    command = [sys.executable, "-m", "service", "key", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stderr.rpartition(": ")[2].strip(), done.stdout


def status(url: str, key: str | None) -> int:
    return httpx.get(url, headers={"X-API-Key": key} if key else {}, timeout=PATIENCE_S).status_code


def test_two_workers_know_a_new_key_and_count_it_together(models: Path, tmp_path: Path) -> None:
    key, entry = made("shop", "--requests-per-s", "0.001", "--burst", "10")
    file = tmp_path / "keys.toml"
    file.write_text(entry)
    with server(models, WORKERS=2, API_KEYS=file) as running:
        assert status(f"{running.url}/v2/health/live", None) == 200
        assert status(f"{running.url}/models", None) == 401
        assert status(f"{running.url}/metrics", key) == 403
        # Each on a connection of its own, so that the kernel gives them to both workers.
        found = [status(f"{running.url}/models", key) for _ in range(30)]
        assert running.stop() == 0
    # Requests are made one after the other, so none is counted by two workers at once.
    assert sorted(found) == [200] * 10 + [429] * 20


def test_a_broken_file_gives_no_key_back_and_keeps_no_successor_from_serving(
    models: Path, tmp_path: Path
) -> None:
    (kept, entry), (taken_back, other) = made("kept"), made("taken-back")
    file = tmp_path / "keys.toml"
    file.write_text(entry + other)
    with server(models, WORKERS=2, API_KEYS=file, LOG_LEVEL="info") as running:
        assert status(f"{running.url}/models", taken_back) == 200
        replace(file, entry.encode())
        log = running.process.stderr
        assert log is not None
        # The process above the workers, whose lines name no worker, knows it as well.
        assert any("new API keys" in line and "worker=" not in line for line in log)
        replace(file, b"broken")
        assert any("the old API keys stay" in line and "worker=" not in line for line in log)
        killed = running.workers
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        ends = time.monotonic() + PATIENCE_S
        while len({*running.workers} - {*killed}) < 2:
            assert time.monotonic() < ends
        found = [
            (status(f"{running.url}/models", kept), status(f"{running.url}/models", taken_back))
            for _ in range(20)
        ]
        assert {*found} == {(200, 401)}
        assert running.stop() == 0


def test_a_burst_without_a_rate_is_refused() -> None:
    command = [sys.executable, "-m", "service", "key", "shop", "--burst", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "burst is of a rate" in done.stderr


@pytest.mark.parametrize("text", [None, "", "broken"])
def test_without_keys_there_is_no_start(models: Path, tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "keys.toml"
    if text is not None:
        file.write_text(text)
    for workers in (1, 2):
        assert "FOLDSERVE_API_KEYS" in refused(models, API_KEYS=file, WORKERS=workers)
