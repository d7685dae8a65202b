"""A closed loop, by wrk: so many clients, each of which sends when it has its answer."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving.load import Load

SCRIPT = Path(__file__).with_name("wrk.lua")
MARK = "@@ "  # begins the line that is the script's
TIMEOUT_S = 30  # of one request
SPARE_S = 2 * TIMEOUT_S


class NoWrkError(Exception):
    """There is no wrk, or it did not run."""


def closed_loop(port: int, requests: Sequence[Path], *, clients: int, seconds: float) -> Load:
    """Load a server.

    Args:
        port: On this machine.
        requests: Files with whole HTTP requests, sent in turns.
        clients: Connections.
        seconds: How long; whole ones.

    Raises:
        NoWrkError: wrk is not installed, or fails.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise NoWrkError("wrk is not installed (apt install wrk)")
    # One thread sends more than any of the servers answers.
    command = [wrk, "-t1", f"-c{clients}", f"-d{round(seconds)}s", f"--timeout={TIMEOUT_S}s"]
    command += ["-s", str(SCRIPT), f"http://127.0.0.1:{port}", "--", *map(str, requests)]
    try:
        done = subprocess.run(  # noqa: S603 - as above
            command, capture_output=True, text=True, timeout=seconds + SPARE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NoWrkError("wrk does not end") from error
    return parse(done.stdout + done.stderr)


def parse(output: str) -> Load:
    """What wrk says, as the script has it.

    Raises:
        NoWrkError: It does not say it.
    """
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    if not lines:
        raise NoWrkError(f"wrk: {output.strip()[-200:]}")
    said = json.loads(lines[0].removeprefix(MARK))
    errors = sum(said[kind] for kind in ("connects", "reads", "writes", "timeouts"))
    return Load(
        requests=said["requests"] - said["statuses"],  # wrk counts every answer
        errors=said["statuses"] + errors,
        seconds=said["seconds"],
        p50_ms=said["p50_ms"],
        p99_ms=said["p99_ms"],
    )
