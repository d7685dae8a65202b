"""All that the service's own OpenAPI document allows, and what it does not, by schemathesis."""

import re
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.security.fuzz.target import SECONDS, SEED, SHORT_S, Watch
from tests.service import zoo
from tests.service.servers import Server, server

# Of an operation, beside the bounds of all its parameters, which are the same each time.
EXAMPLES = 3
MORE_EXAMPLES = 100  # each round, where the time is stated

PATIENCE_S = 300


def test_every_operation_keeps_what_its_document_says(
    root: Path, tmp_path: Path, figure: Callable[..., None]
) -> None:
    """On the control port models are loaded in earnest, so it is one of another server."""
    zoo.put(tmp_path, "doubler", 1, zoo.doubler())
    zoo.put(tmp_path, "brightness", 1, zoo.brightness_classifier())
    with ExitStack() as stack:
        choices = {"WORKERS": 2, "ACCESS_LOG": "none", "LOG_LEVEL": "error"}
        public = stack.enter_context(server(tmp_path, **choices))
        control = stack.enter_context(server(tmp_path, CONTROL_PORT=0, **choices))
        watches = [Watch(public), Watch(control)]
        for watch in watches:
            watch.begin()
        searches = {
            "public": searching(root, tmp_path, public.url),
            "control": searching(
                root, tmp_path, control.control, "--exclude-path-regex", "/unload$"
            ),
        }
        for port, search in searches.items():
            told, _ = search.communicate(timeout=PATIENCE_S + SECONDS)
            print(told[-1500:], f"FUZZ_SEED={SEED}")  # noqa: T201 -- see `tell`
            assert search.returncode == 0, told[-6000:]
            tried = re.search(r"(\d+) generated", told)
            assert tried
            figure(f"Schemathesis, all checks, {port} port", inputs=int(tried[1]), wrong=0)
        for watch, running in zip(watches, (public, control), strict=True):
            ends_well(watch, running)


def searching(root: Path, folder: Path, url: str, *more: str) -> "subprocess.Popen[str]":
    """Begin a search; without ``/unload``, behind which all is 503."""
    command = root / ".venv/clients/bin/schemathesis"
    assert command.exists(), "make install"
    states_time = SECONDS > SHORT_S
    options = [
        *("--config-file", str(root / "tests/security/fuzz/schemathesis.toml")),
        *("run", f"{url}/openapi.json", "--url", url, "--checks", "all", "--no-color"),
        *("--phases", "examples,coverage,fuzzing", "--seed", str(SEED)),
        *("--max-examples", str(MORE_EXAMPLES if states_time else EXAMPLES)),
        *(("--max-time", f"{SECONDS:.0f}") if states_time else ()),
    ]
    return subprocess.Popen(
        [str(command), *options, *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ends_well(watch: Watch, running: Server) -> None:
    assert watch.complaints() == []
    assert running.stop() == 0
    watch.end()
