"""The sockets that are listened on."""

import socket

import pytest

from service.errors import StartError
from service.processes.listeners import control_port, grpc_ports, listeners
from service.settings import Settings
from tests.service.servers import taken_port

HOST = "127.0.0.1"


def test_each_worker_has_a_socket_of_its_own_on_the_one_port() -> None:
    with listeners(HOST, 0, 3) as sockets:
        assert len({each.getsockname() for each in sockets}) == 1
        assert len({each.fileno() for each in sockets}) == 3
        for each in sockets:
            each.listen()
        port = sockets[0].getsockname()[1]
        with socket.create_connection((HOST, port)):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port))


@pytest.mark.parametrize("count", [1, 2])
def test_a_taken_port_is_refused(count: int) -> None:
    with (
        taken_port() as port,
        pytest.raises(StartError, match=f"port {port}: Address already in use"),
        listeners(HOST, port, count),
    ):
        pass


@pytest.mark.parametrize("count", [1, 2])
def test_the_port_of_a_server_that_would_share_it_is_refused_too(count: int) -> None:
    with listeners(HOST, 0, 2) as sockets:
        sockets[0].listen()
        port = sockets[0].getsockname()[1]
        with pytest.raises(StartError, match="already in use"), listeners(HOST, port, count):
            pass


def test_without_sharing_by_the_kernel_the_workers_have_one_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.processes.listeners.SPREADS", False)
    with listeners(HOST, 0, 2) as (first, second):
        assert first is second


def test_ipv6_is_shared_as_well() -> None:
    try:
        with listeners("::1", 0, 2) as (first, second):
            assert first.getsockname() == second.getsockname()
    except StartError as error:  # a machine without it says so in the words of its system
        assert "cannot listen on ::1" in str(error)  # noqa: PT017 -- either is right


def test_grpc_is_off_without_a_port_and_0_becomes_a_free_one() -> None:
    with grpc_ports(Settings()) as settings:
        assert settings.grpc_port is None
    wanted = Settings(grpc_port=0, control_grpc_port=0)
    with grpc_ports(wanted, shared=True) as settings:
        for port in (settings.grpc_port, settings.control_grpc_port):
            assert port
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind((HOST, port))


def test_the_control_port_is_off_by_default_and_on_the_loopback_address_alone() -> None:
    with control_port(Settings(host="0.0.0.0")) as (settings, sockets):  # noqa: S104 -- not bound
        assert (settings.control_port, sockets) == (None, [])
    with control_port(Settings(host="0.0.0.0", control_port=0)) as (settings, [listener]):  # noqa: S104 -- not bound
        assert listener.getsockname() == (HOST, settings.control_port)


def test_a_taken_control_port_is_refused_by_its_name() -> None:
    with (
        taken_port() as port,
        pytest.raises(StartError, match="FOLDSERVE_CONTROL_PORT to a port"),
        control_port(Settings(control_port=port)),
    ):
        pass
