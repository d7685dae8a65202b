"""Keys are asked for in whatever form a request comes, by the real server with two workers."""

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.service import zoo
from tests.service.keys import put
from tests.service.servers import Server, server

BODY = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}'
HOST = b"Host: x\r\n"
KEY = b"X-API-Key: fs_predict\r\n"
CLOSE = b"Connection: close\r\n"


def get(target: bytes, more: bytes = HOST + CLOSE, method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, more)


def post(more: bytes = b"", query: bytes = b"", version: bytes = b"1.1") -> bytes:
    head = b"POST /v2/models/doubler/infer%b HTTP/%b\r\n" % (query, version)
    return head + HOST + b"Content-Length: %d\r\n%b\r\n" % (len(BODY), more) + BODY


REQUESTS = {
    "absolute form": (get(b"http://x/models"), [401]),
    "double slash": (get(b"//models"), [401]),
    "fragment": (get(b"/models#/v2/health/live"), [401]),
    "HEAD": (get(b"/models", method=b"HEAD"), [401]),
    "OPTIONS": (get(b"/models", method=b"OPTIONS"), [401]),
    "HTTP/1.0": (b"GET /models HTTP/1.0\r\n\r\n", [401]),
    "HTTP/1.0 with a body": (post(version=b"1.0"), [401]),
    "query that looks free": (post(CLOSE, b"?/v2/health/live"), [401]),
    "header with underscores": (
        get(b"/models", HOST + CLOSE + b"X_API_Key: fs_predict\r\n"),
        [401],
    ),
    "pipelined": (post(KEY) + post() + post(KEY) + get(b"/metrics"), [200, 401, 200, 401]),
    "key of another request": (post(KEY) + post(CLOSE), [200, 401]),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models, keys = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("keys")
    zoo.put(models, "brightness", 1, zoo.brightness_classifier())
    zoo.put(models, "doubler", 1, zoo.doubler())
    with server(models, WORKERS=2, API_KEYS=put(Path(keys))) as running:
        yield running


def statuses(port: int, request: bytes) -> list[int]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        with suppress(ConnectionError):
            while piece := connection.recv(2**16):
                answer += piece
    assert b"\r\nserver:" not in answer.lower()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answer)]


@pytest.mark.parametrize("form", REQUESTS)
def test_no_form_of_a_request_passes_without_a_key(guarded: Server, form: str) -> None:
    request, expected = REQUESTS[form]
    assert statuses(guarded.port, request) == expected
