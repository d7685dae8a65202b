"""What is told to httpx, and what happens on real sockets that end, drip or say nothing."""

import functools
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from foldserve_client import AsyncClient, Client, Retries, errors
from tests.foldserve_client.conftest import KINDS
from tests.foldserve_client.fakes import Ask, waiting
from tests.foldserve_client.listeners import MODELS, PATIENCE_S, answers, listener, read_request


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:8000", "ftp://host", "http://", "http://host/?a=b", "http://host:port", "/x"],
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(errors.InvalidCall, match="URL"):
        Client(url)


@pytest.mark.parametrize("key", ["fs_secret\n", " fs_secret", "fs_sécret", "fs_sec\0ret"])
def test_a_key_that_no_header_takes_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(errors.InvalidCall, match="API key") as caught:
        Client("http://host", api_key=key)
    assert "fs_" not in str(caught.value)


def ends(connection: socket.socket) -> None:
    read_request(connection)


def resets(connection: socket.socket) -> None:
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def ends_in_its_answer(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(MODELS[:-1])


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest) -> Callable[..., Ask]:
    make: Callable[..., Ask] = KINDS[request.param]
    return make


@pytest.mark.parametrize("script", [ends, resets, ends_in_its_answer])
def test_a_connection_that_ends_before_its_answer_is_tried_again(
    client: Callable[..., Ask], script: Callable[[socket.socket], None]
) -> None:
    with listener(script, script, answers) as url:
        assert client(url)("models") == ()


def test_who_never_answers_is_waited_for_as_long_as_the_call_has(
    client: Callable[..., Ask],
) -> None:
    def says_nothing(connection: socket.socket) -> None:
        read_request(connection)
        assert connection.recv(1) == b""  # until the client goes away

    with listener(says_nothing) as url, pytest.raises(errors.TimedOut):
        client(url, timeout_s=0.2)("models")


def drips(connection: socket.socket, at_once: bytes, then: bytes) -> None:
    """Send a byte every few milliseconds of what would take a minute."""
    read_request(connection)
    gone = threading.Event()
    with suppress(OSError):  # the client went away
        connection.sendall(at_once)
        for i in range(10_000):
            connection.sendall(then[i : i + 1] or b" ")
            gone.wait(0.005)
        raise AssertionError("the client took it all")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"


def test_a_body_that_drips_has_no_more_time_than_none(client: Callable[..., Ask]) -> None:
    with (
        listener(functools.partial(drips, at_once=HEAD, then=b"{")) as url,
        pytest.raises(errors.TimedOut),
    ):
        client(url, timeout_s=0.2)("models")


def test_a_head_that_drips_has_no_more_time_than_none_where_a_call_can_be_cancelled() -> None:
    with (
        listener(functools.partial(drips, at_once=HEAD[:20], then=b"X: " + bytes(9999))) as url,
        pytest.raises(errors.TimedOut),
    ):
        waiting(url, timeout_s=0.2)("models")


def test_an_answer_that_is_not_packed_as_it_says_is_none(client: Callable[..., Ask]) -> None:
    def lies(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(MODELS.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))

    with listener(lies) as url, pytest.raises(errors.InvalidAnswer, match="unpacked"):
        client(url, gzip=True)("models")


def test_nobody_there_is_a_failed_connection(client: Callable[..., Ask]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    never = Retries(attempts=1)
    with pytest.raises(errors.ConnectionFailed):
        client(f"http://127.0.0.1:{port}", retries=never)("models")
    assert client(f"http://127.0.0.1:{port}")("live") is False


def test_what_speaks_no_http_is_a_failed_connection(client: Callable[..., Ask]) -> None:
    def says_something_else(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"220 mail.example ESMTP\r\n")

    with (
        listener(says_something_else) as url,
        pytest.raises(errors.ConnectionFailed),
    ):
        client(url, retries=Retries(attempts=1))("models")


def test_a_cancelled_call_closes_its_connection() -> None:
    closed = threading.Event()

    def hears_the_end(connection: socket.socket) -> None:
        read_request(connection)
        assert connection.recv(1) == b""
        closed.set()

    async def main(url: str) -> Any:
        async with AsyncClient(url) as client:
            with anyio.move_on_after(0.1) as scope:
                await client.models()
            assert scope.cancelled_caught
            await anyio.to_thread.run_sync(closed.wait, PATIENCE_S)

    with listener(hears_the_end) as url:
        anyio.run(main, url)
    assert closed.is_set()
