"""A listener that is about to be closed."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from service.processes.backlog import take_no_more

PATIENCE_S = 10
A_WHILE_S = 0.1  # in which a connection to this machine is made a thousand times over


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as made:
        made.settimeout(PATIENCE_S)
        yield made


def test_who_is_inside_is_served_and_nobody_else_comes_in(listener: socket.socket) -> None:
    address = listener.getsockname()[:2]
    with closing(socket.create_connection(address, PATIENCE_S)) as before:
        before.sendall(b"one")
        take_no_more(listener)
        before.sendall(b" and two")
        with pytest.raises(TimeoutError):
            socket.create_connection(address, A_WHILE_S)
        served, _ = listener.accept()
        with closing(served):
            before.shutdown(socket.SHUT_WR)
            assert served.makefile("rb").read() == b"one and two"
            served.sendall(b"three")
        assert before.recv(16) == b"three"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_socket_that_takes_no_filter_goes_on_as_before() -> None:
    unusable = socket.socket()
    unusable.close()
    take_no_more(unusable)


def test_where_there_are_no_filters_it_goes_on_as_before(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    take_no_more(listener)
    socket.create_connection(listener.getsockname()[:2], PATIENCE_S).close()
