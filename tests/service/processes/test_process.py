"""The real server in its own process: start, serve, drain, end."""

import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from service.environment import variable
from service.settings import Settings
from tests.chaos.load import resident_bytes
from tests.service import zoo
from tests.service.pictures import grey
from tests.service.servers import PATIENCE_S, Server, found, refused, server, taken_port

pytestmark = pytest.mark.slow

JSON = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}'

BOTH = pytest.mark.parametrize("workers", [1, 2])


def connect(running: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), PATIENCE_S)


def receive(connection: socket.socket, until: bytes) -> bytes:
    data = b""
    while until not in data:
        chunk = connection.recv(65536)
        assert chunk, f"the server closed after {data!r}"
        data += chunk
    return data


def metric(running: Server, name: str) -> float:
    text = httpx.get(f"{running.url}/metrics", timeout=PATIENCE_S).text
    return float(found(rf"^{re.escape(name)} (\S+)$", text))


def until_it_listens_no_more(running: Server) -> None:
    with suppress(ConnectionError):  # refused, or reset between the two
        while True:
            connect(running).close()


def status(running: Server, path: str) -> int:
    return httpx.get(running.url + path, timeout=PATIENCE_S).status_code


@BOTH
def test_it_starts_prints_a_page_and_a_curl_line_that_work_and_ends_with_0(
    models: Path, workers: int
) -> None:
    began = time.monotonic()
    with server(models, WORKERS=workers) as running:
        # A start takes about a second; the bound is the promise with a loaded machine's slack.
        assert time.monotonic() - began < 10
        assert status(running, "/docs") == 200
        address = found(
            r"curl --data-binary @\S+ (http://\S+/models/brightness/predict)$", running.example
        )
        answer = httpx.post(address, content=grey(255), timeout=PATIENCE_S)
        assert answer.json()["predictions"][0]["label"] == "bright"
        assert running.stop() == 0


@BOTH
def test_the_bytes_that_a_plain_client_sends_are_enough(models: Path, workers: int) -> None:
    # What tritonclient.http 2.73 sends for JSON tensors: no content type, no Accept.
    head = (
        f"POST /v2/models/doubler/infer HTTP/1.1\r\nHost: x\r\n"
        f"User-Agent: geventhttpclient\r\nContent-Length: {len(JSON)}\r\n\r\n"
    )
    with server(models, WORKERS=workers) as running, connect(running) as connection:
        connection.sendall(head.encode() + JSON)
        answer = receive(connection, b'"data":[2.0,4.0,6.0]}]}')
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        connection.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in receive(connection, b'{"live":true,"ready":true}')
        assert running.stop() == 0


def test_a_request_that_was_accepted_is_answered_after_sigterm(models: Path) -> None:
    head = (
        f"POST /v2/models/doubler/infer HTTP/1.1\r\nHost: x\r\n"
        f"Content-Length: {len(JSON)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with server(models) as running, connect(running) as connection:
        connection.sendall(head.encode())
        receive(connection, b"100 Continue")  # the server waits for the body: it has accepted
        running.process.terminate()
        until_it_listens_no_more(running)
        connection.sendall(JSON)
        assert b'"data":[2.0,4.0,6.0]' in receive(connection, b"]}]}")
        assert running.process.wait(PATIENCE_S) == 0


@BOTH
def test_a_body_that_never_ends_does_not_keep_the_server_past_its_grace_time(
    models: Path, workers: int
) -> None:
    head = b"POST /models/brightness/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
    with server(models, GRACE_S=0.5, WORKERS=workers) as running, connect(running) as connection:
        connection.sendall(head + b"Expect: 100-continue\r\n\r\n")
        receive(connection, b"100 Continue")
        assert running.stop() == 0
        assert b"503 Service Unavailable" in receive(connection, b'"code":"shutting_down"')


def test_a_client_that_sends_too_much_before_it_reads_is_told_so(models: Path) -> None:
    with server(models, MAX_BODY_BYTES=1024) as running:
        connection = HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE_S)
        # More than the buffers of both sides hold, so that most is sent after the answer.
        connection.request("POST", "/models/brightness/predict", body=bytes(20_000_000))
        assert connection.getresponse().status == 413
        connection.close()
        assert running.stop() == 0


@pytest.mark.parametrize("endless", [b"a" * 1_000_000, b"A: b\r\n" * 100_000])
def test_a_head_without_end_is_refused(models: Path, endless: bytes) -> None:
    with server(models) as running, connect(running) as connection:
        before = resident_bytes(running.process.pid)
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\nX-Long: ")
        with suppress(ConnectionError):  # closed while it sends, where that takes long
            connection.sendall(endless * 100)
        with suppress(ConnectionError):
            assert b" 431 " in receive(connection, b"\r\n\r\n")
        assert resident_bytes(running.process.pid) < before + 50 * len(endless)
        assert status(running, "/v2") == 200
        assert running.stop() == 0


def test_many_requests_on_one_connection_are_no_large_head(models: Path) -> None:
    with server(models, ACCESS_LOG="none") as running, connect(running) as connection:
        one = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 16_000 + b"\r\n\r\n"
        for _ in range(20):
            connection.sendall(one)
            assert b"200 OK" in receive(connection, b'{"live":true}')
        assert running.stop() == 0


def post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_requests_behind_one_another_are_answered_in_their_order(models: Path) -> None:
    infer = "/v2/models/doubler/infer"
    asked = [
        post(infer, JSON.replace(b"[1,2,3]", b"[5,2,3]")),
        b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n",
        post(infer, b"{"),
        post("/models/brightness/predict", grey(255)),
        post(infer, JSON.replace(b"[1,2,3]", b"[7,2,3]")),
    ]
    marks = [b'"data":[10.0', b'{"live":true}', b'"error":', b'"label":"bright"', b'"data":[14.0']
    with server(models) as running, connect(running) as connection:
        connection.sendall(b"".join(asked))
        answered = receive(connection, marks[-1])
        places = [answered.index(mark) for mark in marks]
        assert places == sorted(places)
        assert answered.count(b"HTTP/1.1 ") == len(asked)
        assert running.stop() == 0


@pytest.mark.parametrize("cut", [1, 40, 80, 100, 150])
def test_a_request_in_two_pieces_is_one_request(models: Path, cut: int) -> None:
    whole = post("/v2/models/doubler/infer", JSON)
    with server(models) as running, connect(running) as connection:
        for _ in range(2):
            connection.sendall(whole[:cut])
            assert status(running, "/v2/health/live") == 200, "the piece had time to arrive"
            connection.sendall(whole[cut:])
            assert b"200 OK" in receive(connection, b'"data":[2.0,4.0,6.0]')
        assert running.stop() == 0


def test_a_client_that_reads_nothing_is_not_answered_without_end(models: Path) -> None:
    one = post("/v2/models/doubler/infer", JSON)
    with server(models, WORKERS=1) as running, connect(running) as connection:
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.sendall(one * (256 * 2**20 // len(one)))
        assert status(running, "/v2/health/live") == 200


def test_a_client_that_hangs_up_while_its_request_waits_costs_no_run(models: Path) -> None:
    zoo.put(models, "endless", 1, zoo.endless())
    body = JSON.replace(b"[1,3]", b"[1]").replace(b"[1,2,3]", b"[1]")
    one = post("/v2/models/endless/infer", body)
    waiting = 'foldserve_waiting_rows{model="endless",version="1"}'
    with server(models, WARM_UP="no", GRACE_S=0.1) as running, connect(running) as first:
        first.sendall(one)
        with connect(running) as second, connect(running) as third:
            second.sendall(one)
            third.sendall(one)
            while metric(running, waiting) < 2:
                pass  # one of them is in its run, which does not end; the others are on their way
            first.close()
        deadline = time.monotonic() + PATIENCE_S
        while metric(running, waiting):
            assert time.monotonic() < deadline, "the request of a client that is gone still waits"
        assert running.stop() == 0


def test_with_a_drain_delay_it_is_not_ready_at_once_and_still_answers(models: Path) -> None:
    with server(models, DRAIN_DELAY_S=600) as running:
        assert status(running, "/v2/health/ready") == 200
        running.process.terminate()
        while status(running, "/v2/health/ready") == 200:
            pass  # the signal is on its way
        assert status(running, "/v2/health/ready") == 503
        assert status(running, "/v2/health/live") == 200
        url = f"{running.url}/v2/models/doubler/infer"
        assert httpx.post(url, content=JSON, timeout=PATIENCE_S).status_code == 200
        assert running.stop() == 0, "a second signal does not wait for the delay"


@BOTH
def test_a_killed_server_leaves_a_port_that_the_next_one_can_take(
    models: Path, workers: int
) -> None:
    with server(models, WORKERS=workers) as running:
        port = running.port
        with connect(running):
            running.process.kill()
            running.process.wait(PATIENCE_S)
    with server(models, WORKERS=workers, PORT=port) as again:
        assert again.port == port
        assert again.stop() == 0


def test_a_port_in_use_is_named(models: Path) -> None:
    with taken_port() as port:
        assert f"port {port}: Address already in use" in refused(models, PORT=port)


def test_a_misspelt_variable_is_named_with_the_nearest(models: Path) -> None:
    assert "FOLDSERVE_MODLES is no setting; did you mean FOLDSERVE_MODELS?" in refused(
        models, MODLES="x"
    )


def test_a_value_out_of_bounds_is_named(models: Path) -> None:
    assert "FOLDSERVE_MAX_BATCH_SIZE=0: " in refused(models, MAX_BATCH_SIZE=0)
    wrong = refused(models, VERSION_POLICY="latest:1;doubler=0")
    assert "FOLDSERVE_VERSION_POLICY, 'doubler=0': '0' is not" in wrong


def test_a_missing_repository_is_named(tmp_path: Path) -> None:
    assert "set FOLDSERVE_MODELS" in refused(tmp_path / "nothing")


def test_an_empty_repository_does_not_start(tmp_path: Path) -> None:
    assert "it holds no <name>/<version>/model.onnx" in refused(tmp_path)


def test_a_repository_of_broken_models_does_not_start(tmp_path: Path) -> None:
    zoo.put(tmp_path, "broken", 1, zoo.doubler()).write_bytes(b"garbage")
    assert "broken/1: the file is no ONNX model" in refused(tmp_path)


@BOTH
def test_cuda_without_cuda_does_not_start(models: Path, workers: int) -> None:
    assert "FOLDSERVE_PROVIDER=cuda, but ONNX Runtime offers only" in refused(
        models, PROVIDER="cuda", WORKERS=workers
    )


def test_logs_for_machines_are_one_json_object_a_line(models: Path) -> None:
    with server(models, LOG_FORMAT="json", LOG_LEVEL="info", ACCESS_LOG="all") as running:
        status(running, "/models")
        running.process.terminate()
        _, lines = running.process.communicate(timeout=PATIENCE_S)
    assert all(re.fullmatch(r"\{.*\}", line) for line in lines.splitlines())
    request = next(line for line in lines.splitlines() if '"event": "request"' in line)
    assert re.search(r'"request_id": "[0-9a-f]{32}"', request)


def test_the_help_lists_every_setting() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", "--help"], capture_output=True, text=True, check=True
    )
    for name in Settings.model_fields:
        assert variable(name) in done.stdout


def test_the_service_loads_nothing_of_training_and_export() -> None:
    code = (
        "import sys, service.app, service.processes.server;"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"service", "onnxruntime"} <= loaded
    forbidden = {"torch", "training", "export", "onnx", "onnxscript", "onnx_ir", "sklearn", "scipy"}
    assert not loaded & forbidden


def test_importing_the_app_does_nothing_yet() -> None:
    code = (
        "import threading, logging; import service.app;"
        "assert threading.active_count() == 1; assert not logging.root.handlers"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@BOTH
def test_a_signal_that_comes_twice_ends_it_without_a_traceback(models: Path, workers: int) -> None:
    # `make serve` passes on a signal that its whole process group has already got.
    with server(models, WORKERS=workers, LOG_LEVEL="info") as running:
        assert running.process.stderr is not None
        running.process.send_signal(signal.SIGTERM)
        for line in running.process.stderr:
            if "draining" in line:
                break
        assert running.stop() == 0
        assert "Traceback" not in running.process.stderr.read()
