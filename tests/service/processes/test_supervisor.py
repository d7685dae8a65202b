"""Several workers behind one port, in processes of their own."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.service.servers import (
    PATIENCE_S,
    Server,
    command,
    found,
    refused,
    server,
    taken_port,
)

pytestmark = pytest.mark.slow

TEMPLATE = "/v2/models/{name}/infer"
URL = "/v2/models/doubler/infer"
JSON = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}'
HEAD = f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(JSON)}\r\n"


def metrics(running: Server) -> dict[str, float]:
    """Return what a worker tells; which one is the kernel's choice for each connection."""
    text = httpx.get(f"{running.url}/metrics", timeout=PATIENCE_S).text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def infer(running: Server) -> int:
    return httpx.post(running.url + URL, content=JSON, timeout=PATIENCE_S).status_code


def answered_by(running: Server) -> list[float]:
    told = metrics(running)
    return [told[f'foldserve_worker_requests_total{{worker="{number}"}}'] for number in range(2)]


def inferences(running: Server) -> float:
    return metrics(running)[f'foldserve_requests_total{{route="{TEMPLATE}",status="200"}}']


def until_both_answered(running: Server) -> int:
    """Ask until each worker has answered; return how often."""
    asked = 0
    while not all(answered_by(running)):
        assert infer(running) == 200
        asked += 1
    return asked


@pytest.fixture
def pair(models: Path) -> Iterator[Server]:
    with server(models, WORKERS=2, CONTROL_PORT=0) as running:
        yield running


def test_both_workers_answer_and_each_of_them_tells_the_whole(pair: Server) -> None:
    asked = until_both_answered(pair)
    for _ in range(10):  # whichever worker is asked
        assert inferences(pair) == asked
        told = metrics(pair)
        assert told['foldserve_model_ready{model="doubler",version="1"}'] == 1
        assert told['foldserve_worker_ready{worker="0"}'] == 1
        assert told['foldserve_worker_ready{worker="1"}'] == 1
        assert told['process_resident_memory_bytes{worker="0"}'] > 0
        assert told['process_resident_memory_bytes{worker="1"}'] > 0
    assert pair.stop() == 0


def test_the_process_above_has_no_thread_that_a_fork_would_lose(pair: Server) -> None:
    status = Path(f"/proc/{pair.process.pid}/status").read_text()
    assert found(r"^Threads:\s+(\d+)$", status) == "1"


def test_the_statistics_are_those_of_all_workers(pair: Server) -> None:
    asked = until_both_answered(pair)
    document = httpx.get(f"{pair.url}/v2/models/doubler/stats", timeout=PATIENCE_S).json()
    counts = {each["version"]: each["inference_count"] for each in document["model_stats"]}
    assert counts == {"1": 0, "12": asked}


def test_a_worker_that_is_killed_is_replaced_and_its_counters_go_on(pair: Server) -> None:
    asked = until_both_answered(pair)
    before = answered_by(pair)
    killed = pair.workers
    os.kill(killed[0], signal.SIGKILL)
    while len(pair.workers) < 2 or killed[0] in pair.workers:
        asked += 1
        assert infer(pair) == 200, "the other answers, or the successor what waited for it"
    while infer(pair) == 200 and not all(
        now > then for now, then in zip(answered_by(pair), before, strict=True)
    ):
        asked += 1
    assert inferences(pair) == asked + 1
    assert pair.workers[1:] != killed[1:] or pair.workers[:1] != killed[:1]
    assert pair.stop() == 0


def test_a_worker_that_dies_again_and_again_is_started_ever_more_slowly(models: Path) -> None:
    with server(models, WORKERS=2, LOG_FORMAT="json", LOG_LEVEL="error") as running:
        assert running.process.stderr is not None
        delays = []
        for _ in range(3):
            os.kill(max(running.workers), signal.SIGKILL)
            line = running.process.stderr.readline()
            delays.append(float(found(r'"restart_in_s": ([\d.]+)', line)))
            assert '"how": "SIGKILL"' in line
            while len(running.workers) < 2:
                pass
        assert delays == [0.1, 0.2, 0.4]
        assert running.stop() == 0


def test_a_request_that_was_accepted_is_answered_after_sigterm(pair: Server) -> None:
    address = ("127.0.0.1", pair.port)
    connections = [socket.create_connection(address, PATIENCE_S) for _ in range(8)]
    for connection in connections:
        connection.sendall(f"{HEAD}Expect: 100-continue\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
    pair.process.terminate()
    with suppress(ConnectionError):
        while True:
            socket.create_connection(address, PATIENCE_S).close()
    for connection in connections:
        connection.sendall(JSON)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.close()
    assert pair.process.wait(PATIENCE_S) == 0


def test_an_interrupt_of_the_whole_group_is_one_order_to_end(models: Path) -> None:
    with command(models, WORKERS=2) as process:
        try:
            assert process.stdout is not None
            running = Server(process, process.stdout.readline())
            with socket.create_connection(("127.0.0.1", running.port), PATIENCE_S) as connection:
                connection.sendall(f"{HEAD}Expect: 100-continue\r\n\r\n".encode())
                assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
                os.killpg(process.pid, signal.SIGINT)
                connection.sendall(JSON)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            _, error = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0
            assert "Traceback" not in error
        finally:
            process.kill()


def test_with_a_drain_delay_no_worker_is_ready_and_all_still_answer(models: Path) -> None:
    with server(models, WORKERS=2, DRAIN_DELAY_S=600) as running:
        running.process.terminate()
        deadline = time.monotonic() + PATIENCE_S
        while any(metrics(running)[f'foldserve_worker_ready{{worker="{i}"}}'] for i in range(2)):
            assert time.monotonic() < deadline
        for _ in range(10):
            ready = httpx.get(f"{running.url}/v2/health/ready", timeout=PATIENCE_S)
            assert ready.status_code == 503
            assert infer(running) == 200
        assert running.stop() == 0, "a second signal does not wait for the delay"


def test_workers_end_by_themselves_if_the_process_above_them_is_killed(pair: Server) -> None:
    pair.process.kill()
    assert pair.process.stderr is not None
    pair.process.stderr.read()  # ends when the last process that could write has ended
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", pair.port), PATIENCE_S)


def test_a_start_that_fails_is_told_once(tmp_path: Path) -> None:
    with command(tmp_path, WORKERS=2) as process:
        output, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert output == ""
    assert re.fullmatch(r"foldserve-serve: no model can be served from .*\n", error)


def test_each_line_of_the_log_names_its_worker_but_those_of_the_process_above(
    models: Path,
) -> None:
    with server(models, WORKERS=2, LOG_FORMAT="json", LOG_LEVEL="info") as running:
        running.process.terminate()
        _, lines = running.process.communicate(timeout=PATIENCE_S)
    told = [
        (json.loads(line)["event"], json.loads(line).get("worker")) for line in lines.splitlines()
    ]
    assert told[0] == ("starting", None)
    assert {("draining", 0), ("draining", 1), ("closed", 0), ("closed", 1)} <= set(told)


def test_all_workers_serve_grpc_on_the_one_free_port_that_was_found(models: Path) -> None:
    with server(models, WORKERS=2, GRPC_PORT=0, LOG_FORMAT="json", LOG_LEVEL="info") as running:
        running.process.terminate()
        _, text = running.process.communicate(timeout=PATIENCE_S)
    lines = [json.loads(line) for line in text.splitlines()]
    ready = [line for line in lines if line["event"] == "grpc ready"]
    assert sorted(line["worker"] for line in ready) == [0, 1]
    assert len({line["port"] for line in ready}) == 1
    assert running.process.returncode == 0


def test_a_port_in_use_is_named(models: Path) -> None:
    with taken_port() as port:
        assert f"port {port}: Address already in use" in refused(models, PORT=port, WORKERS=2)


def test_a_second_server_on_the_port_is_refused(pair: Server, models: Path) -> None:
    for workers in (1, 2):
        line = refused(models, PORT=pair.port, WORKERS=workers)
        assert f"port {pair.port}: Address already in use" in line


def test_a_model_is_unloaded_in_every_worker_and_in_those_that_come_later(pair: Server) -> None:
    answer = httpx.post(f"{pair.control}/v2/repository/models/doubler/unload", timeout=PATIENCE_S)
    assert answer.status_code == 200
    assert {infer(pair) for _ in range(20)} == {503}
    before = set(pair.workers)
    os.kill(max(before), signal.SIGKILL)
    while True:
        told = metrics(pair)
        if len(set(pair.workers) - before) == 1 and told['foldserve_worker_ready{worker="1"}']:
            break
    until_both_answered(pair)
    assert 'foldserve_model_ready{model="doubler",version="1"}' not in metrics(pair)
