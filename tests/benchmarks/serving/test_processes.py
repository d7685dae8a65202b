import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.serving import keeper
from benchmarks.serving.processes import running

# A server whose child leaves its session and its parent, and says its id when it runs.
PROGRAM = """
import os, sys, threading
said = sys.argv[1]
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    sum(range(10_000_000))
    with open(said, "w") as file:
        file.write(str(os.getpid()))
threading.Event().wait()
"""


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """A pipe: who reads it waits for who writes it."""
    path = tmp_path / "said"
    os.mkfifo(path)
    return path


def command(said: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(said)]


def test_no_process_is_left_of_a_server(said, tmp_path):
    with running(command(said), {}, tmp_path / "log") as server:
        stray = int(said.read_text())
        assert keeper.processes()[stray].parent != os.getpid()
        assert server.cpu_s() > 0  # ten million additions take a tenth of a second
        memory = server.memory()
        assert not server.ended
    assert stray not in keeper.processes()
    assert memory.processes == 2
    assert memory.rss_mb >= memory.pss_mb > 1
    assert memory.rss_mb / 2 <= memory.largest_mb < memory.rss_mb


def test_no_process_is_left_when_the_block_raises(said, tmp_path):
    def fail() -> None:
        with running(command(said), {}, tmp_path / "log"):
            strays.append(int(said.read_text()))
            raise KeyError

    strays: list[int] = []
    with pytest.raises(KeyError):
        fail()
    assert strays[0] not in keeper.processes()


def test_no_process_is_left_when_whoever_started_it_is_killed(said):
    kept = [sys.executable, "-I", "-S", keeper.__file__, *command(said)]
    starter = f"import subprocess; subprocess.run({kept!r})"
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        stray = int(said.read_text())
        assert stray in keeper.processes()
        process.send_signal(signal.SIGKILL)
        process.stdout.readline()
        assert process.stdout.read() == b""  # the end: nobody holds it any more
    assert stray not in keeper.processes()


def test_a_server_that_ends_has_last_words(tmp_path):
    log = tmp_path / "log"
    with running([sys.executable, "-c", "raise SystemExit('no port')"], {}, log) as server:
        while not server.ended:
            os.sched_yield()
        assert server.last_words() == "no port"


def test_a_server_s_environment_is_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("FOLDSERVE_PORT", "1")
    code = "import os; raise SystemExit(' '.join(sorted(os.environ)))"
    log = tmp_path / "log"
    with running([sys.executable, "-S", "-c", code], {"SERVED": "x"}, log) as server:
        while not server.ended:
            os.sched_yield()
    names = set(server.last_words().split()) - {"LC_CTYPE"}  # which Python may set itself
    assert names == {"PATH", "LANG", "SERVED"}
