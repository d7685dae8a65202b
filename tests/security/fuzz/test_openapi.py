"""All that the service's own OpenAPI document allows, and what it does not, by schemathesis."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.security.fuzz.target import SECONDS, SEED
from tests.service import zoo
from tests.service.servers import server

EXAMPLES = 10  # of an operation and phase; more where the time is stated
SHORT_S = 3.0
PATIENCE_S = 300


@pytest.mark.parametrize("control", [False, True], ids=["public", "control"])
def test_every_operation_keeps_what_its_document_says(
    root: Path, tmp_path: Path, control: bool, figure: Callable[..., None]
) -> None:
    """On the control port models are loaded in earnest."""
    zoo.put(tmp_path, "doubler", 1, zoo.doubler())
    zoo.put(tmp_path, "brightness", 1, zoo.brightness_classifier())
    python = root / ".venv/clients/bin/schemathesis"
    assert python.exists(), "make install"
    with server(tmp_path, WORKERS=2, CONTROL_PORT=0, ACCESS_LOG="none", LOG_LEVEL="error") as run:
        url = run.control if control else run.url
        command = [
            *(str(python), "--config-file", str(root / "tests/security/fuzz/schemathesis.toml")),
            *("run", f"{url}/openapi.json", "--url", url, "--checks", "all", "--no-color"),
            *("--phases", "examples,coverage,fuzzing", "--seed", str(SEED)),
            *("--max-examples", str(EXAMPLES)),
            *(("--exclude-path-regex", "/unload$") if control else ()),  # else all is 503
        ]
        if SECONDS > SHORT_S:
            command += ["--max-time", f"{SECONDS:.0f}"]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S + SECONDS,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr
        assert run.process.poll() is None
        assert run.stop() == 0
    tried = re.search(r"(\d+) generated", done.stdout)
    assert tried
    port = "control" if control else "public"
    figure(f"Schemathesis, all checks, {port} port", inputs=int(tried[1]), crashed=0, wrong=0)
