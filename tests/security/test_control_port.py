"""The control port of the real server: off by default, on the loopback address, for no page."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc  # type: ignore[import-untyped]  # it has no types
import httpx
import pytest

from service.rpc.messages import SERVICE, protocol
from tests.service import zoo
from tests.service.keys import KEYS, put
from tests.service.servers import PATIENCE_S, Server, server

LOAD = "/v2/repository/models/doubler/load"
UNLOAD = "/v2/repository/models/doubler/unload"
COMMANDS = (LOAD, UNLOAD)
CONTROL = {"X-API-Key": KEYS["control"]}

# Hosts and origins as a page sends them whose own name leads to this machine, or does not.
FOREIGN = [
    {"Host": "evil.example:8002"},
    {"Host": "evil.example"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "0.0.0.0"},  # noqa: S104 -- not bound
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Host": "evil.example:8002", "Origin": "http://evil.example:8002"},
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    zoo.put(folder, "brightness", 1, zoo.brightness_classifier())
    zoo.put(folder, "doubler", 1, zoo.doubler())
    return folder


@pytest.fixture(scope="module")
def both(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers, with keys, on every address of the machine."""
    choices = {"GRPC_PORT": 0, "CONTROL_PORT": 0, "CONTROL_GRPC_PORT": 0, "HOST": "0.0.0.0"}  # noqa: S104 -- its point
    keys = put(tmp_path_factory.mktemp("keys"))
    with server(models, WORKERS=2, API_KEYS=keys, **choices) as running:
        yield running


def listening(running: Server) -> set[str]:
    """Where the processes of a server listen: addresses with their ports, in hexadecimal."""
    inodes = set()
    for pid in (running.process.pid, *running.workers):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            inodes |= set(re.findall(r"^socket:\[(\d+)\]$", str(each.readlink())))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1])
    return found


def test_by_default_there_is_no_control_port_and_no_command_is_taken(models: Path) -> None:
    with server(models, WORKERS=2) as running:
        assert len(listening(running)) == 1
        for path in COMMANDS:
            answer = httpx.post(running.url + path, timeout=PATIENCE_S)
            assert answer.status_code == 403
            assert "FOLDSERVE_CONTROL_PORT" in answer.json()["error"]


def test_it_listens_on_the_loopback_address_whatever_the_public_one_is(both: Server) -> None:
    ports = {int(url.rpartition(":")[2]) for url in (both.control, both.control_grpc)}
    addresses = {int(each.rpartition(":")[2], 16): each for each in listening(both)}
    loopback = f"{int.from_bytes(socket.inet_aton('127.0.0.1'), 'little'):08X}"
    for port in ports:
        assert addresses[port].partition(":")[0].endswith(loopback)  # in IPv6, too
    assert addresses[both.port].startswith("00000000")


def test_commands_go_to_every_worker_whichever_takes_them(
    both: Server, figure: Callable[..., None]
) -> None:
    # New connections, so that either worker is asked.
    for _ in range(10):
        assert httpx.post(both.control + UNLOAD, headers=CONTROL, timeout=PATIENCE_S).is_success
        for _ in range(5):
            ready = f"{both.url}/v2/models/doubler/ready"
            key = {"X-API-Key": KEYS["predict"]}
            assert httpx.get(ready, headers=key, timeout=PATIENCE_S).status_code == 503
        assert httpx.post(both.control + LOAD, headers=CONTROL, timeout=PATIENCE_S).is_success
    figure("Control plane on its own port: commands done by every worker", commands=20, lost=0)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_public_port_takes_no_command_with_any_key(both: Server, path: str) -> None:
    forged = {"Host": "127.0.0.1", "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    for headers in (CONTROL, CONTROL | forged):
        answer = httpx.post(both.url + path, headers=headers, timeout=PATIENCE_S)
        assert answer.status_code == 403
        assert "FOLDSERVE_CONTROL_PORT" in answer.json()["error"]


@pytest.mark.parametrize("scope", [None, "predict", "metrics"])
def test_the_control_port_asks_for_the_scope_of_control_as_well(
    both: Server, scope: str | None
) -> None:
    headers = {} if scope is None else {"X-API-Key": KEYS[scope]}
    for path in COMMANDS:
        answer = httpx.post(both.control + path, headers=headers, timeout=PATIENCE_S)
        assert answer.status_code == (401 if scope is None else 403)


def test_no_page_of_elsewhere_reaches_the_control_port(
    both: Server, figure: Callable[..., None]
) -> None:
    paths = (LOAD, UNLOAD, "/models", "/docs", "/openapi.json", "/v2/models/doubler/infer")
    asked = 0
    for headers in FOREIGN:
        for path in paths:
            for method in ("GET", "POST", "OPTIONS"):
                answer = httpx.request(
                    method, both.control + path, headers=CONTROL | headers, timeout=PATIENCE_S
                )
                assert answer.status_code == 403, (method, path, headers)
                asked += 1
    figure("Control plane: pages of other origins and rebound names", requests=asked, through=0)


def test_a_request_without_a_name_or_with_two_is_refused(both: Server) -> None:
    port = int(both.control.rpartition(":")[2])
    key = f"X-API-Key: {KEYS['control']}\r\n"
    for version, hosts in (("1.0", ""), ("1.1", "Host: localhost\r\nHost: evil.example\r\n")):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            head = f"POST {LOAD} HTTP/{version}\r\n{hosts}{key}Content-Length: 0\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(100).startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))


def test_over_grpc_commands_are_taken_on_the_control_port_alone(both: Server) -> None:
    def command(address: str, method: str, key: str) -> grpc.StatusCode:
        message = getattr(protocol().messages, f"{method}Request")(model_name="doubler")
        with grpc.insecure_channel(address) as channel:
            call = channel.unary_unary(f"/{SERVICE}/{method}")
            metadata = (("x-api-key", key),)
            try:
                call(message.SerializeToString(), metadata=metadata, timeout=PATIENCE_S)
            except grpc.RpcError as error:
                return error.code()
        return grpc.StatusCode.OK

    for method in ("RepositoryModelUnload", "RepositoryModelLoad"):
        key = KEYS["control"]
        assert command(both.grpc, method, key) is grpc.StatusCode.PERMISSION_DENIED
        assert command(both.control_grpc, method, KEYS["predict"]) is (
            grpc.StatusCode.PERMISSION_DENIED
        )
        assert command(both.control_grpc, method, key) is grpc.StatusCode.OK


def test_a_browser_cannot_speak_to_the_control_port_of_grpc(both: Server) -> None:
    """Over a connection without TLS browsers speak HTTP/1.1 alone."""
    host, _, port = both.control_grpc.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        answer = connection.recv(2**16)
    assert b"HTTP/1.1 200" not in answer


def test_the_index_on_the_public_port_tells_what_the_list_of_models_tells(both: Server) -> None:
    key = {"X-API-Key": KEYS["predict"]}
    index = httpx.post(f"{both.url}/v2/repository/index", headers=key, timeout=PATIENCE_S)
    listed = httpx.get(f"{both.url}/models", headers=key, timeout=PATIENCE_S)
    assert {each["name"] for each in json.loads(index.content)} == {
        each["name"] for each in listed.json()["models"]
    }
