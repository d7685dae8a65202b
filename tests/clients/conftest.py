"""One server for all clients, and the clients' own Python."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.clients import zoo
from tests.clients.documents import Document
from tests.service import servers

# For all that one client asks, on a loaded machine.
PATIENCE_S = 120


class Served(NamedTuple):
    """Where a real server listens, as Triton's clients write it: without a scheme."""

    http: str
    grpc: str
    control_grpc: str


Talk = Callable[[str, str], Document]
"""Runs one of the scripts with an address, and returns what it says."""


@pytest.fixture(scope="session")
def clients_python(root: Path) -> Path:
    """The Python that other people's clients are installed for."""
    python = root / ".venv/clients/bin/python"
    if not python.exists():
        pytest.fail("there is no .venv/clients: make install")
    return python


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.build(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def served(repository: Path) -> Iterator[Served]:
    """The server, in a process of its own, with every model of the zoo."""
    with servers.server(repository, WORKERS=1, GRPC_PORT=0, CONTROL_GRPC_PORT=0) as server:
        yield Served(f"127.0.0.1:{server.port}", server.grpc, server.control_grpc)
        assert server.stop() == 0


@pytest.fixture(scope="session")
def talk(clients_python: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Talk:
    cases = tmp_path_factory.mktemp("cases") / "cases.json"
    cases.write_text(json.dumps([zoo.document(case) for case in zoo.cases()]))

    def run(script: str, address: str) -> Document:
        done = subprocess.run(
            [clients_python, "-m", f"tests.clients.scripts.{script}", address, str(cases)],
            cwd=root,
            capture_output=True,
            check=False,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        said: Document = json.loads(done.stdout)
        return said

    return run
