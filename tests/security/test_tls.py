"""TLS by settings: over HTTP and gRPC, by every worker, and nobody gets in or holds on without."""

import os
import shlex
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPSConnection
from itertools import islice
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no types
import httpx
import numpy as np
import pytest
import trustme

from service.rpc.messages import SERVICE, protocol
from tests.chaos.load import descriptors, infer_request
from tests.service import certificates, zoo
from tests.service.certificates import Files, chain, client, encrypted, files
from tests.service.pictures import grey
from tests.service.servers import PATIENCE_S, Server, refused, server

BOTH = pytest.mark.parametrize("workers", [1, 2])
HSTS = "strict-transport-security"
INFER = "/v2/models/m/infer"
JSON = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}'
REFUSED = (httpx.TransportError, ssl.SSLError, OSError)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    zoo.put(folder, "m", 1, zoo.doubler())
    zoo.put(folder, "brightness", 1, zoo.brightness_classifier())
    return folder


@pytest.fixture
def given(tmp_path: Path) -> Files:
    return files(tmp_path)


def get(running: Server, path: str, context: ssl.SSLContext) -> httpx.Response:
    """Ask on a connection of its own."""
    return httpx.get(running.url + path, verify=context, timeout=PATIENCE_S)


def raw(running: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), PATIENCE_S)


def end(connection: socket.socket) -> bytes:
    """Return everything up to the end of a connection."""
    found = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(2**16):
            found += piece
    return found


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends


@BOTH
def test_every_answer_comes_over_tls_and_says_that_all_others_should(
    models: Path, given: Files, workers: int
) -> None:
    context = client(given.authority)
    with server(models, WORKERS=workers, CONTROL_PORT=0, **given.choices()) as running:
        assert running.url.startswith("https://127.0.0.1:")
        with httpx.Client(base_url=running.url, verify=context, timeout=PATIENCE_S) as asking:
            answers = {
                "in place": asking.post(INFER, content=JSON),
                "by the app": asking.post(f"{INFER}?by=the-app", content=JSON),
                "page": asking.get("/docs"),
                "refused in place": asking.post(INFER, content=b"{"),
                "none": asking.get("/nothing"),
            }
        assert [each.status_code for each in answers.values()] == [200, 200, 200, 400, 404]
        assert answers["in place"].json()["outputs"][0]["data"] == [2.0, 4.0, 6.0]
        with raw(running) as plain, context.wrap_socket(plain, server_hostname="localhost") as odd:
            odd.sendall(b"no HTTP at all\r\n\r\n")
            malformed = end(odd)
        assert malformed.startswith(b"HTTP/1.1 400 ")
        assert b"strict-transport-security: max-age=31536000\r\n" in malformed
        assert {each.headers[HSTS] for each in answers.values()} == {"max-age=31536000"}
        # A browser must not learn it from an answer without TLS, and the control port has none.
        control = httpx.get(f"{running.control}/v2/health/ready", timeout=PATIENCE_S)
        assert control.status_code == 200
        assert HSTS not in control.headers
        assert running.stop() == 0


def test_who_comes_to_a_dead_worker_speaks_tls_with_another(models: Path, given: Files) -> None:
    context = client(given.authority)
    with server(models, WORKERS=2, **given.choices()) as running:
        stays, dies = running.workers
        os.kill(dies, signal.SIGSTOP)
        with ExitStack() as stack:
            waiting = [stack.enter_context(raw(running)) for _ in range(16)]
            os.kill(dies, signal.SIGKILL)
            until(lambda: dies not in running.workers)
            for plain in waiting:
                with context.wrap_socket(plain, server_hostname="localhost") as secure:
                    secure.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
                    assert secure.recv(13) == b"HTTP/1.1 200 "
        assert stays in running.workers
        assert running.stop() == 0


def test_the_line_to_paste_works(models: Path, given: Files, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(grey(255))
    with server(models, **given.choices()) as running:
        curl = shlex.split(running.example)
        assert curl[0] == "curl"
        curl[curl.index("--data-binary") + 1] = f"@{picture}"
        done = subprocess.run(curl, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
        assert '"label":"bright"' in done.stdout
        assert running.stop() == 0


def test_how_long_browsers_keep_to_it_is_a_setting(models: Path, given: Files) -> None:
    with server(models, **given.choices(TLS_HSTS_S=0)) as running:
        answer = get(running, "/v2/health/ready", client(given.authority))
        assert answer.headers[HSTS] == "max-age=0"
    with server(models) as running:
        assert HSTS not in httpx.get(f"{running.url}/docs", timeout=PATIENCE_S).headers


@BOTH
def test_grpc_speaks_tls_alone(models: Path, given: Files, workers: int) -> None:
    with server(models, WORKERS=workers, GRPC_PORT=0, **given.choices()) as running:
        assert is_ready(running, given.authority)
        with grpc.insecure_channel(running.grpc) as plain, pytest.raises(grpc.RpcError):
            server_ready(plain)
        with pytest.raises(grpc.RpcError):
            is_ready(running, trustme.CA())
        assert running.stop() == 0


def is_ready(
    running: Server, authority: trustme.CA, identity: trustme.LeafCert | None = None
) -> bool:
    """Ask over gRPC, on a connection of its own."""
    own = (None, None) if identity is None else (identity.private_key_pem.bytes(), chain(identity))
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), *own)
    alone = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(running.grpc, credentials, alone) as channel:
        return server_ready(channel)


def server_ready(channel: Any) -> bool:
    call = channel.unary_unary(
        f"/{SERVICE}/ServerReady",
        response_deserializer=protocol().messages.ServerReadyResponse.FromString,
    )
    return bool(call(b"", timeout=PATIENCE_S).ready)


@pytest.mark.parametrize(("newest", "status"), [("1.1", 35), ("1.2", 0), ("1.3", 0)])
def test_what_is_older_than_tls_1_2_is_not_spoken(
    models: Path, given: Files, newest: str, status: int
) -> None:
    with server(models, **given.choices()) as running:
        weak = ("--tls-max", newest, "--ciphers", "DEFAULT@SECLEVEL=0")  # as old clients are
        done = subprocess.run(
            ["curl", "--silent", "--insecure", *weak, f"{running.url}/v2/health/ready"],  # noqa: S607 -- found on the PATH
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == status, done.stderr  # 35: it could not shake hands


def test_the_protocol_is_agreed_on_with_clients_that_speak_several(
    models: Path, given: Files
) -> None:
    context = client(given.authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        server(models, **given.choices()) as running,
        raw(running) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_plain_http_is_told_what_the_port_speaks(models: Path, given: Files) -> None:
    with server(models, **given.choices()) as running, raw(running) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = end(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"this port speaks TLS" in answer
    assert HSTS.encode() not in answer


def test_who_never_shakes_hands_holds_a_connection_no_longer_than_an_idle_one(
    models: Path, given: Files
) -> None:
    context = client(given.authority)
    with server(models, **given.choices(IDLE_TIMEOUT_S=2, MAX_CONNECTIONS=2)) as running:
        silent = [raw(running) for _ in range(2)]
        # They count: whoever comes next is turned away, and told so by the end alone.
        with raw(running) as third, pytest.raises(OSError, match=r"EOF|reset"):
            context.wrap_socket(third, server_hostname="localhost")
        for each in silent:
            assert end(each) == b""
            each.close()
        metrics = get(running, "/metrics", context).text
        assert 'foldserve_requests_total{route="unmatched",status="503"} 1.0' in metrics, metrics
        assert running.stop() == 0


def test_who_is_silent_on_the_port_of_grpc_is_ended_too(models: Path, given: Files) -> None:
    with server(models, **given.choices(IDLE_TIMEOUT_S=1, GRPC_PORT=0)) as running:
        host, _, port = running.grpc.rpartition(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as silent:
            assert end(silent) == b""


def test_failed_handshakes_leave_nothing_behind(models: Path, given: Files) -> None:
    with server(models, **given.choices(LOG_LEVEL="error")) as running:
        get(running, "/v2/health/ready", client(given.authority))
        before = descriptors(running.process.pid)
        for sent in (b"", b"junk" * 100, b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"):
            for _ in range(50):
                with raw(running) as connection:
                    connection.sendall(sent)
        for _ in range(50):
            with pytest.raises(REFUSED):
                get(running, "/", client(trustme.CA()))  # who does not trust us goes away
        until(lambda: descriptors(running.process.pid) <= before)
        assert running.stop() == 0


@BOTH
def test_clients_need_a_certificate_where_a_setting_names_who_signs_them(
    models: Path, given: Files, tmp_path: Path, workers: int
) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    choices = given.choices(
        TLS_CLIENT_CA=certificates.put(tmp_path, authority), GRPC_PORT=0, CONTROL_PORT=0
    )
    with server(models, WORKERS=workers, **choices) as running:
        assert "--cert client.pem --key client.key" in running.example
        for path in ("/v2/health/live", "/", "/metrics"):
            assert get(running, path, client(given.authority, authority)).status_code in (200, 307)
            for nobody in (client(given.authority), client(given.authority, stranger)):
                with pytest.raises(REFUSED):
                    get(running, path, nobody)
        assert is_ready(running, given.authority, authority.issue_cert("client"))
        for identity in (None, stranger.issue_cert("client")):
            with pytest.raises(grpc.RpcError):
                is_ready(running, given.authority, identity)
        assert httpx.get(f"{running.control}/v2/health/ready").status_code == 200
        assert running.stop() == 0


@contextmanager
def rotating(models: Path, given: Files, workers: int) -> Iterator[Server]:
    choices = given.choices(WORKERS=workers, GRPC_PORT=0, LOG_LEVEL="info")
    with server(models, **choices) as running:
        assert is_ready(running, given.authority)
        yield running


def shows(running: Server, authority: trustme.CA) -> bool:
    """Whether many new connections, which the workers share, show a certificate of somebody's."""
    try:
        for _ in range(12):
            get(running, "/v2/health/ready", client(authority))
            is_ready(running, authority)
    except (*REFUSED, grpc.RpcError):
        return False
    return True


@BOTH
def test_a_new_certificate_is_taken_by_every_worker_without_a_restart(
    models: Path, given: Files, workers: int
) -> None:
    second = trustme.CA()
    with rotating(models, given, workers) as running:
        pids = running.workers
        lasting = HTTPSConnection(
            "127.0.0.1", running.port, context=client(given.authority), timeout=PATIENCE_S
        )
        assert ask(lasting) == 200
        assert not shows(running, second)
        given.rotate(second)
        until(lambda: shows(running, second))
        assert not shows(running, given.authority)
        assert ask(lasting) == 200  # what was open stays open
        lasting.close()
        assert running.workers == pids
        assert running.stop() == 0


def ask(connection: HTTPSConnection) -> int:
    connection.request("GET", "/v2/health/ready")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_broken_file_leaves_the_last_certificate_to_those_who_serve_and_to_their_successors(
    models: Path, given: Files
) -> None:
    second, third = trustme.CA(), trustme.CA()
    with rotating(models, given, workers=2) as running:
        given.rotate(second)
        told(running, "new certificate", 3)  # by both workers, and by the process above them
        assert shows(running, second)
        certificates.replace(given.key, b"broken")
        lines = told(running, "the old certificate stays", 3)
        assert all("FOLDSERVE_TLS_KEY" in line for line in lines)
        assert shows(running, second)
        killed = running.workers
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        until(lambda: len({*running.workers} - {*killed}) == 2)
        until(lambda: shows(running, second))
        given.rotate(third)
        until(lambda: shows(running, third))
        assert running.stop() == 0


def told(running: Server, event: str, times: int) -> list[str]:
    """Wait until the log has so many lines of an event."""
    log = running.process.stderr
    assert log is not None
    return [*islice((line for line in log if event in line), times)]


def put_other_key(given: Files) -> None:
    given.key.write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes())


def encrypt_key(given: Files) -> None:
    given.key.write_bytes(encrypted(given.key.read_bytes()))


WRONG: dict[str, tuple[Callable[[Files], object], str]] = {
    "TLS_CERTIFICATE": (lambda given: given.certificate.unlink(), "No such file or directory"),
    "TLS_KEY": (lambda given: given.key.unlink(), "No such file or directory"),
    "TLS_KEY ": (put_other_key, "it is not the key of"),
    "TLS_KEY  ": (encrypt_key, "the key is encrypted"),
    "TLS_CLIENT_CA": (lambda given: given.certificate.with_name("ca").touch(), "it holds no "),
}


@BOTH
@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_stop_the_start_before_a_model_is_looked_at(
    tmp_path: Path, given: Files, workers: int, name: str
) -> None:
    change, reason = WRONG[name]
    change(given)
    ca = given.certificate.with_name("ca")
    choices = given.choices(WORKERS=workers, **({"TLS_CLIENT_CA": ca} if ca.exists() else {}))
    line = refused(tmp_path / "no models", **choices)
    assert f": FOLDSERVE_{name.strip()}={tmp_path}/" in line
    assert reason in line


@pytest.mark.parametrize(
    ("choices", "missing"),
    [
        ({"TLS_KEY": "k"}, "FOLDSERVE_TLS_CERTIFICATE is missing"),
        ({"TLS_CERTIFICATE": "c"}, "FOLDSERVE_TLS_KEY is missing"),
        ({"TLS_CLIENT_CA": "a"}, "FOLDSERVE_TLS_CERTIFICATE is missing"),
    ],
)
def test_one_setting_without_the_other_stops_the_start(
    tmp_path: Path, choices: dict[str, str], missing: str
) -> None:
    assert missing in refused(tmp_path, **choices)


# Large against what the system holds for a connection.
WIDE = 2**20
ALL = np.full(WIDE, 2, np.float32).tobytes()


def test_who_takes_an_answer_slowly_gets_all_of_it_and_who_takes_nothing_is_let_go(
    tmp_path: Path, given: Files
) -> None:
    """Unsent is what the client has not been sent, not what TLS has not been given."""
    zoo.put(tmp_path / "wide", "wide", 1, zoo.doubler(shape=("batch", WIDE)))
    context = client(given.authority)
    asked = infer_request("wide", [WIDE], binary=True, headers=["Connection: close"])
    with server(tmp_path / "wide", **given.choices(IDLE_TIMEOUT_S=1)) as running:
        with narrow(running, context) as slow:
            slow.sendall(asked)
            found = b""
            began = time.monotonic()
            while piece := slow.recv(2**14):
                found += piece
                # In even steps over twice the time in which a client has to take something.
                time.sleep(max(0.0, began + 2 * len(found) / len(ALL) - time.monotonic()))
            assert found.endswith(ALL), len(found)
        with narrow(running, context) as none:
            none.sendall(asked)
            held = descriptors(running.process.pid)
            until(lambda: descriptors(running.process.pid) < held)
        assert running.stop() == 0


def narrow(running: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection for which the client's system takes little before it is read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**14)
    connection.settimeout(PATIENCE_S)
    connection.connect(("127.0.0.1", running.port))
    return context.wrap_socket(connection, server_hostname="localhost")
