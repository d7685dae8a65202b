"""One measurement of one plan: start a server with it, load it, compare its answers, end it."""

import json
import socket
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.environment import environment
from service.settings import Settings
from service.tuning.answers import Values, agree, read_answer
from service.tuning.candidates import Candidate, Measurement, NotMeasured
from service.tuning.children import child
from service.tuning.load import answer_length
from service.tuning.repositories import Source, single
from service.tuning.serving import served

# For the load's own start and end, on a machine that the server keeps busy.
_LOAD_SPARE_S = 60.0

# For one request that nothing else is in the way of.
_ANSWER_S = 60.0


@dataclass(frozen=True)
class Requests:
    """What one version is asked.

    Args:
        bodies: whole requests over HTTP.
        answers: that are right, one for each.
    """

    bodies: Sequence[bytes]
    answers: Sequence[Values]


@dataclass(frozen=True)
class Trials:
    """What all measurements share.

    Args:
        source: of the model.
        place: for repositories of one version.
        settings: the operator's.
        requests: by version.
        clients: of the load.
    """

    source: Source
    place: Path
    settings: Settings
    requests: Mapping[str, Requests]
    clients: int

    def measure(self, candidate: Candidate, seconds: float) -> Measurement:
        """Measure one plan.

        Args:
            candidate: the plan.
            seconds: under load, without the warm-up.

        Raises:
            NotMeasured: it does not start, answers wrongly or not at all.
        """
        models = single(self.source, candidate.version, self.place)
        requests = self.requests[candidate.version]
        with served(models, server_settings(candidate, self.settings)) as server:
            found = run_load(server.port, requests.bodies, self.clients, seconds)
            memory_mb = server.memory_mb()
        _check(found, requests, candidate.precision)
        if found["p50_ms"] is None:
            raise NotMeasured(f"no answer in {seconds:.2g} s; give it more --seconds")
        return Measurement(
            throughput=found["throughput"],
            p50_ms=found["p50_ms"],
            p99_ms=found["p99_ms"],
            alone_ms=found["alone_ms"],
            memory_mb=memory_mb,
            generator_busy=found["generator_busy"],
        )


def plan_settings(candidate: Candidate, settings: Settings) -> dict[str, object]:
    """Return the settings that are the plan, by their fields.

    Args:
        candidate: the plan.
        settings: the operator's, whose buckets end where the plan's batches do.
    """
    size = candidate.max_batch_size
    chosen: dict[str, object] = {
        "workers": candidate.workers,
        "intra_op_threads": candidate.threads,
        "max_batch_size": size,
    }
    if settings.batch_buckets:
        chosen["batch_buckets"] = (*(each for each in settings.batch_buckets if each < size), size)
    return chosen


def server_settings(candidate: Candidate, settings: Settings) -> dict[str, object]:
    """Return the settings of a server beside the operator's own: it takes no port of that."""
    return plan_settings(candidate, settings) | {
        "grpc_port": None if settings.grpc_port is None else 0
    }


def right_answers(port: int, requests: Sequence[bytes]) -> list[Values]:
    """Return the answers of a server that is asked one request at a time.

    Raises:
        NotMeasured: it answers with an error, or breaks off.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), _ANSWER_S) as connection:
            return [read_answer(_exchange(connection, each)) for each in requests]
    except OSError as error:
        raise NotMeasured(f"one request at a time is not answered: {error}") from None


def _exchange(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while len(answer) < answer_length(answer):
        chunk = connection.recv(2**20)
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        answer += chunk
    return answer


def run_load(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> dict[str, Any]:
    """Have a process of its own load a server; return its findings.

    Raises:
        NotMeasured: it found no server, or no end.
    """
    orders = {
        "port": port,
        "requests": [b64encode(each).decode() for each in requests],
        "clients": clients,
        "seconds": seconds,
    }
    limit_s = 2 * seconds + _LOAD_SPARE_S
    with child("service.tuning.load", environment({}), errors=subprocess.DEVNULL) as process:
        try:
            output, _ = process.communicate(json.dumps(orders).encode(), limit_s)
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"the load did not end in {limit_s:g} s") from None
    if process.returncode:
        raise NotMeasured("the load ended early; the server may have ended")
    findings: dict[str, Any] = json.loads(output)
    return findings


def _check(found: Mapping[str, Any], requests: Requests, precision: str) -> None:
    """Hold what was answered under load against the right answers.

    Raises:
        NotMeasured: there were errors, or an answer is wrong.
    """
    if found["errors"]:
        answer = b64decode(found["error"])
        reason = _reason(answer) if answer else "a connection was lost"
        raise NotMeasured(f"{found['errors']} errors; {reason}")
    for number, answer in found["answers"].items():
        if not agree(read_answer(b64decode(answer)), requests.answers[int(number)], precision):
            raise NotMeasured("it answered wrongly: not what one worker answers to one client")


def _reason(answer: bytes) -> str:
    try:
        read_answer(answer)
    except NotMeasured as error:
        return str(error)
    return "an answer was no success"
