"""Connections from the listener of a worker that is dead to one that lives."""

import os
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from service.processes.handover import Handover

PATIENCE_S = 10


@pytest.fixture
def handover() -> Iterator[Handover]:
    with closing(Handover()) as made:
        yield made


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as made:
        yield made


def client(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname(), PATIENCE_S)


def taken(handover: Handover) -> list[socket.socket]:
    connections = []
    while (connection := handover.take()) is not None:
        connections.append(connection)
    return connections


def test_who_waits_is_served_by_whoever_takes_it(
    listener: socket.socket, handover: Handover
) -> None:
    with closing(client(listener)) as waiting:
        waiting.sendall(b"asked")
        handover.pass_on(listener)
        assert select.select([handover], [], [], PATIENCE_S)[0] == [handover]
        [connection] = taken(handover)
        assert not os.get_inheritable(connection.fileno())
        with closing(connection):
            assert connection.getsockname() == listener.getsockname()
            assert connection.recv(16) == b"asked"
            connection.sendall(b"answered")
        assert waiting.recv(16) == b"answered"
        assert waiting.recv(16) == b"", "nobody else holds the connection open"


def test_where_nobody_waits_there_is_nothing_to_take(
    listener: socket.socket, handover: Handover
) -> None:
    handover.pass_on(listener)
    assert handover.take() is None


def test_what_finds_no_room_waits_where_it_is(listener: socket.socket, handover: Handover) -> None:
    """Nobody takes anything, then a worker is there; no client is lost, or let in twice."""
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(client(listener))) for _ in range(400)]
        handover.pass_on(listener)
        served = taken(handover)
        assert 1 < len(served) < len(clients)
        while len(served) < len(clients):
            handover.pass_on(listener)
            served += taken(handover)
        for connection in served:
            stack.enter_context(closing(connection))
        asked = {each.getsockname() for each in clients}
        assert {each.getpeername() for each in served} == asked


def test_a_process_that_may_open_no_more_takes_nothing(
    listener: socket.socket, handover: Handover
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with closing(client(listener)) as waiting, ExitStack() as stack:
        handover.pass_on(listener)
        os.close(lowest := os.dup(0))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        assert handover.take() is None
        stack.close()
        assert waiting.recv(1) == b"", "the client is told, and does not wait"


def test_a_listener_that_is_none_any_more_gives_nothing(handover: Handover) -> None:
    closed = socket.socket()
    closed.close()
    handover.pass_on(closed)
    assert handover.take() is None
