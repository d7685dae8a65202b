"""The port of gRPC, before anything is loaded."""

import socket

import pytest

from service.errors import StartError
from service.rpc.address import reserved_port, target
from tests.service.servers import taken_port


@pytest.mark.parametrize("shared", [False, True])
def test_a_free_port_is_found(shared: bool) -> None:
    with reserved_port("127.0.0.1", 0, shared=shared) as port:
        assert 0 < port < 65536


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_another_listens_on_is_refused(shared: bool) -> None:
    with (
        taken_port() as port,
        pytest.raises(StartError) as caught,
        reserved_port("127.0.0.1", port, shared=shared),
    ):
        pass
    assert str(caught.value) == (
        f"cannot listen for gRPC on 127.0.0.1 port {port}: Address already in use;"
        " set FOLDSERVE_GRPC_PORT to a port that is free"
    )


def test_a_port_that_another_shares_is_refused_too() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartError), reserved_port("127.0.0.1", port, shared=True):
            pass


def test_a_shared_port_is_had_by_every_worker_and_by_nobody_else() -> None:
    with reserved_port("127.0.0.1", 0, shared=True) as port, socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(("127.0.0.1", port))
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 64])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(StartError, match=f"^FOLDSERVE_HOST={host}: "):
        target(host, 1)


def test_addresses_are_written_as_grpc_reads_them() -> None:
    assert target("127.0.0.1", 80) == "127.0.0.1:80"
    assert target("::1", 80) == "[::1]:80"
