"""Commands, run as a user runs them who copies them from a document."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

URL = "http://127.0.0.1:8000"
"""Where a service is in the documents; in a test it is where a port was free."""

PATIENCE_S = 300


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user with the virtual environment's commands on the path would."""
    return subprocess.run(
        ["sh", "-c", command],  # noqa: S607 - found on the PATH
        cwd=cwd,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@contextmanager
def make_serve(cwd: Path) -> Iterator[list[str]]:
    """Let `make serve` run as long as the block, and return the two lines that it prints."""
    clean = {name: value for name, value in os.environ.items() if "FOLDSERVE" not in name}
    process = subprocess.Popen(
        ["make", "--silent", "serve"],  # noqa: S607 - found on the PATH
        cwd=cwd,
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


def url_in(greeting: list[str]) -> str:
    """The address that a service says it has."""
    found = re.search(r"http://[\d.:]+", greeting[0])
    assert found, greeting
    return found[0]
