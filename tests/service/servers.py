"""The real server in a process of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# Enough for a loaded machine; a test that needs it has failed.
PATIENCE_S = 60


@dataclass
class Server:
    """A server that said that it is ready."""

    process: "subprocess.Popen[str]"
    greeting: str
    more: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return found(r"(https?://[^\s/]+)", self.greeting)

    @property
    def port(self) -> int:
        return int(found(r":(\d+)$", self.url))

    @property
    def example(self) -> str:
        """A request to paste, where a model takes images."""
        return self.told(r"^Try: (.+)$")

    @property
    def grpc(self) -> str:
        """The address of gRPC, as its clients write it."""
        return self.told(r"^gRPC(?: over TLS)?: (\S+)$")

    @property
    def control(self) -> str:
        """The URL of the control port."""
        return self.told(r"^Control: (\S+)$")

    @property
    def control_grpc(self) -> str:
        return self.told(r"^Control over gRPC: (\S+)$")

    def told(self, pattern: str) -> str:
        """What one of the lines says that come behind the greeting."""
        assert self.process.stdout is not None
        while not any(re.search(pattern, line) for line in self.more):
            line = self.process.stdout.readline()
            assert line, f"{pattern} is not in {self.more}"
            self.more.append(line)
        return found(pattern, "".join(self.more))

    @property
    def workers(self) -> list[int]:
        """The processes that it has forked."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(kind)
        return self.process.wait(PATIENCE_S)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    assert match, f"{pattern} is not in {text!r}"
    return match[1]


def command(models: Path, **choices: object) -> "subprocess.Popen[str]":
    return started("service", models, choices)


def started(module: str, models: Path, choices: Mapping[str, object]) -> "subprocess.Popen[str]":
    """Start a module that serves."""
    clean = {name: value for name, value in os.environ.items() if "FOLDSERVE" not in name}
    alone = {"WORKERS": 1, "MODELS": models, "PORT": 0, "LOG_LEVEL": "warning"}
    settings = alone | dict(choices)
    return subprocess.Popen(
        [sys.executable, "-m", module],
        env=clean | {f"FOLDSERVE_{name}": str(value) for name, value in settings.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pipesize=2**20,  # a server whose log nobody reads stops at the pipe's end
        start_new_session=True,  # so that a test can send a signal to its whole group
    )


@contextmanager
def server(models: Path, **choices: object) -> Iterator[Server]:
    with ready(command(models, **choices)) as running:
        yield running


@contextmanager
def ready(process: "subprocess.Popen[str]") -> Iterator[Server]:
    """Wait until a server that was started is ready, and let it live as long as the block."""
    with process:
        try:
            assert process.stdout is not None
            yield Server(process, process.stdout.readline())
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def refused(models: Path, **choices: object) -> str:
    """Return the error of a start that must fail, with exit status 2 and one line."""
    with command(models, **choices) as process:
        output, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, error
    assert output == ""
    assert "Traceback" not in error
    line = error.rstrip().splitlines()[-1]
    assert line.startswith("foldserve-serve: ")
    return line


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
