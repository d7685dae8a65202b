"""A real server with the settings of a plan, on a free port of this machine alone."""

import re
import selectors
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service.environment import environment
from service.tuning.candidates import NotMeasured
from service.tuning.children import Child, child, members
from service.tuning.memory import proportional_mb

# A large model is opened and warmed up by every worker.
_START_S = 120.0

# The load comes from this machine alone, with no key, and by plain HTTP.
_NOT_MEASURED = (
    *("api_keys", "cors_origins", "control_port", "control_grpc_port"),
    *("tls_certificate", "tls_key", "tls_client_ca"),
)

_GREETING = re.compile(rb"http://127\.0\.0\.1:(\d+)/")
_ERROR = "foldserve-serve: "


@dataclass(frozen=True)
class Served:
    """A server that is ready.

    Args:
        port: that it listens on.
        group: of its processes.
    """

    port: int
    group: int

    def memory_mb(self) -> float | None:
        """Return what its processes hold now; None where the system does not say."""
        return proportional_mb(members(self.group))


@contextmanager
def served(models: Path, settings: Mapping[str, object]) -> Iterator[Served]:
    """Serve a repository for the time of the block.

    Args:
        models: the repository.
        settings: of the plan; every other is the operator's.

    Raises:
        NotMeasured: the server does not start; the message is the server's.
    """
    own: dict[str, object] = {"models": models.absolute(), "host": "127.0.0.1", "port": 0}
    own |= dict.fromkeys(_NOT_MEASURED)
    with (
        tempfile.TemporaryFile() as log,
        child("service", environment({**settings, **own}), errors=log) as process,
    ):
        yield Served(_port(process, log), process.pid)


def _port(process: Child, log: IO[bytes]) -> int:
    """Wait for the line that says that it is ready."""
    ends = time.monotonic() + _START_S
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]  # a pipe
        while not (found := _GREETING.search(said)):
            if not selector.select(ends - time.monotonic()):
                raise NotMeasured(f"the server was not ready in {_START_S:g} s")
            chunk = process.stdout.read1()  # type: ignore[union-attr]  # likewise
            if not chunk:
                raise NotMeasured(f"the server did not start: {_last_words(log)}")
            said += chunk
    return int(found[1])


def _last_words(log: IO[bytes]) -> str:
    """Return the line in which the command says what is wrong, or else the last one."""
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines() or ["it said nothing"]
    stated = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    return (stated or lines)[-1]
