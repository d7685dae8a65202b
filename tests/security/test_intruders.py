"""With keys set, nobody without one is let in: every path, method and form of a request.

The real server with two workers is asked over plain sockets, so that no client tidies a request
up on its way. What is let in without a key answers what a stranger must not see: anything but
a refusal. Live and ready alone are open, in exactly one form each.
"""

import asyncio
import itertools
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import grpc  # type: ignore[import-untyped]  # it has no types
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route

from service.app import create_app
from service.rpc.messages import SERVICE, protocol
from service.settings import Settings
from tests.chaos.load import LONG
from tests.service import zoo
from tests.service.keys import KEYS, put
from tests.service.servers import PATIENCE_S, Server, server

OPEN = {"/v2/health/live", "/v2/health/ready"}
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
# 401 and 403 are the guard's; 400, 405 and 501 are of a request that is none; a connection that
# is closed without a word lets nobody in either.
REFUSED = {400, 401, 403, 405, 431, 501}
# A refusal says that a key is needed and nothing else; this stands in what strangers must not see.
SECRETS = (b"doubler", b"brightness", b"foldserve_", b"swagger", b"openapi", b"datatype")

BODY = b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}'

# Changes to a path that some router, proxy or decoder takes for the same path.
ODD: tuple[Callable[[str], str], ...] = (
    lambda path: path,
    lambda path: path + "/",
    lambda path: path + "//",
    lambda path: "/" + path,
    lambda path: path.replace("/", "//"),
    lambda path: "/." + path,
    lambda path: path + "/.",
    lambda path: "/x/.." + path,
    lambda path: "/v2/health/live/../../.." + path,
    lambda path: "/v2/health/live/%2e%2e/%2e%2e/%2e%2e" + path,
    lambda path: "/v2/health/live%2f..%2f..%2f.." + path,
    lambda path: "/%2e" + path,
    lambda path: path.replace("/", "/%2e/"),
    lambda path: path.replace("/", "%2f"),
    lambda path: path.replace("/", "\\"),
    lambda path: path.replace("/", "/%5c"),
    lambda path: "".join(c if c == "/" else f"%{ord(c):02x}" for c in path),
    lambda path: "".join(c if c == "/" else f"%25{ord(c):02x}" for c in path),
    str.upper,
    str.title,
    lambda path: path + "%00",
    lambda path: path + "%0a",
    lambda path: path + "%0d%0a",
    lambda path: path + "%20",
    lambda path: path + ";/v2/health/live",
    lambda path: path + "?/v2/health/live",
    lambda path: path + "#/v2/health/live",
    lambda path: path + "?x-api-key=x&authorization=bearer",
    lambda path: path + ".json",
    lambda path: path + "%ef%bc%8f",
    lambda path: "http://x" + path,
    lambda path: "http://127.0.0.1" + path,
    lambda path: "https://x@y" + path,
    lambda _path: "*",
    lambda path: path[1:],
    lambda path: "/%c0%af" + path,
)

# Headers that somebody trusts somewhere, or that change how a request is read.
HEADERS = (
    "",
    "X-API-Key: \r\n",
    "X-API-Key: fs_wrong\r\n",
    "Authorization: Bearer\r\n",
    "Authorization: Bearer fs_wrong\r\n",
    "Authorization: Basic YTpi\r\n",
    "Authorization: Digest username=a\r\n",
    "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n",
    "X-Original-URL: /v2/health/live\r\nX-Rewrite-URL: /v2/health/live\r\n",
    "X-HTTP-Method-Override: GET\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "Expect: 100-continue\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Encoding: gzip\r\n",
    "Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n",
    "Cookie: key=fs_wrong\r\n",
)


class Answer(NamedTuple):
    """What a stranger got."""

    target: str
    statuses: list[int]
    text: bytes


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    zoo.put(folder, "brightness", 1, zoo.brightness_classifier())
    zoo.put(folder, "doubler", 1, zoo.doubler())
    return folder


@pytest.fixture(scope="module")
def guarded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = put(tmp_path_factory.mktemp("keys"))
    choices = {"GRPC_PORT": 0, "CONTROL_PORT": 0, "CONTROL_GRPC_PORT": 0}
    with server(models, WORKERS=2, API_KEYS=keys, **choices) as running:
        yield running
        assert running.process.poll() is None


def paths() -> list[str]:
    """Every path that the app has, of a model that is there."""
    found = set()
    for route in create_app(Settings()).routes:
        assert isinstance(route, APIRoute | Route | Mount), route
        path = route.path + "/swagger-ui.css" if isinstance(route, Mount) else route.path
        found.add(path.format(name="doubler", version="1", part="try", file="try.js"))
    return sorted(found)


def request(method: str, target: str, headers: str = "", body: bytes = b"") -> bytes:
    connection = "Connection: close\r\n"
    if headers.startswith("Connection: "):  # in one line: of two the second counts
        connection, headers = "", headers.replace("Connection: ", "Connection: close, ")
    head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{connection}{headers}"
    if "Transfer-Encoding" in headers:
        return f"{head}\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def plans(*, whole: bool) -> Iterator[tuple[str, str, str]]:
    """Methods, targets and headers: all of each with the plain others, or all with all."""
    plain = paths()
    if whole:
        yield from (
            (method, odd(path), headers)
            for path, odd, method, headers in itertools.product(plain, ODD, METHODS, HEADERS)
        )
        return
    for path in plain:
        yield from ((method, path, "") for method in METHODS)
        yield from ((method, odd(path), "") for odd in ODD for method in ("GET", "POST"))
        yield from ((method, path, each) for each in HEADERS for method in ("GET", "POST"))


async def ask(port: int, target: str, sent: bytes) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = b""
    try:
        writer.write(sent)
        with suppress(ConnectionError):
            text = await asyncio.wait_for(reader.read(-1), PATIENCE_S)
    except TimeoutError:
        raise AssertionError(f"{sent!r} was not answered") from None
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return Answer(target, [int(each) for each in re.findall(rb"HTTP/1\.1 (\d+)", text)], text)


async def ask_all(
    port: int, requests: Iterable[tuple[str, str, str]], at_once: int = 16
) -> list[Answer]:
    waiting = iter(requests)

    async def client() -> list[Answer]:
        return [
            await ask(port, target, request(method, target, headers, BODY))
            for method, target, headers in waiting
        ]

    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(client()) for _ in range(at_once)]
    return [answer for each in clients for answer in each.result()]


def is_open(target: str) -> bool:
    """Whether a target is live or ready: behind its scheme, and before its query."""
    path = re.sub("^https?://[^/]*", "", target)
    plain = re.split("[?#]", path, maxsplit=1)[0]
    decoded = re.sub("%([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), plain)
    return decoded in OPEN


def let_in(answers: Iterable[Answer]) -> list[Answer]:
    """Those that got anything but a refusal."""
    return [
        answer
        for answer in answers
        if not REFUSED.issuperset(answer.statuses)
        or any(secret in answer.text.partition(b"\r\n\r\n")[2] for secret in SECRETS)
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("port", ["public", "control"])
async def test_no_form_of_a_request_lets_a_stranger_in(
    guarded: Server, port: str, figure: Callable[..., None]
) -> None:
    number = guarded.port if port == "public" else int(guarded.control.rpartition(":")[2])
    answers = await ask_all(number, plans(whole=LONG))
    closed = [answer for answer in answers if not is_open(answer.target)]
    assert let_in(closed) == []
    # Nearly all were refused for the key, and not for what was wrong with them otherwise.
    refused = sum(set(answer.statuses) <= {401, 403} for answer in closed if answer.statuses)
    assert refused > 0.8 * len(closed)
    figure(f"Keys: requests without one, {port} port", requests=len(closed), let_in=0)


@pytest.mark.anyio
async def test_the_search_finds_who_is_let_in(guarded: Server) -> None:
    """Else it would show nothing: with a key most of the plain requests are answered."""
    key = f"X-API-Key: {KEYS['predict']}\r\n"
    plain = [("GET", path, key) for path in paths() if path not in OPEN]
    found = {answer.target for answer in let_in(await ask_all(guarded.port, plain))}
    assert {"/docs", "/openapi.json", "/models", "/models/doubler", "/v1/models"} <= found


@pytest.mark.anyio
async def test_the_open_paths_tell_that_the_server_lives_and_nothing_else(guarded: Server) -> None:
    plain = [(method, path, "") for path in sorted(OPEN) for method in METHODS]
    for answer in await ask_all(guarded.port, plain):
        assert set(answer.statuses) <= {200, 400, 405}, answer
        body = answer.text.partition(b"\r\n\r\n")[2]
        assert not any(secret in body for secret in SECRETS)


def test_no_request_of_a_connection_inherits_the_key_of_another(guarded: Server) -> None:
    def lines(key: str, close: str = "") -> bytes:
        head = f"POST /v2/models/doubler/infer HTTP/1.1\r\nHost: x\r\n{key}{close}"
        return f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY

    known = f"X-API-Key: {KEYS['predict']}\r\n"
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=PATIENCE_S) as connection:
        turns = [known if number % 2 == 0 else "" for number in range(20)]
        sent = [lines(key) for key in turns[:-1]] + [lines(turns[-1], "Connection: close\r\n")]
        connection.sendall(b"".join(sent))
        answer = b""
        while piece := connection.recv(2**16):
            answer += piece
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"401"] * 10


def grpc_methods() -> list[str]:
    messages = vars(protocol().messages)
    names = [name.removesuffix("Request") for name in messages if name.endswith("Request")]
    return [f"/{SERVICE}/{name}" for name in names]


# What gRPC's own words for a refusal are; nothing that is asked for is among the others.
REFUSED_CALLS = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}

ODD_METHODS: tuple[Callable[[str], str], ...] = (
    lambda method: method,
    lambda method: method + "/",
    lambda method: "/" + method,
    str.lower,
    lambda method: method.replace("/", "//"),
    lambda method: method + "%00",
    lambda method: method.replace("Model", "%4dodel"),
    lambda method: f"/{SERVICE}/ServerLive/..{method}",
    lambda method: f"/{SERVICE}/ServerLive?{method}",
)
METADATA: tuple[tuple[tuple[str, str | bytes], ...], ...] = (
    (),
    (("x-api-key", ""),),
    (("x-api-key", "fs_wrong"),),
    (("authorization", "Basic YTpmc19wcmVkaWN0"),),
    (("x-api-key", KEYS["predict"]), ("x-api-key", KEYS["control"])),
    (("x-api-key-bin", KEYS["predict"].encode()),),
    (("x-forwarded-for", "127.0.0.1"),),
)


@pytest.mark.parametrize("port", ["public", "control"])
def test_no_form_of_a_call_lets_a_stranger_in(
    guarded: Server, port: str, figure: Callable[..., None]
) -> None:
    free = {f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady"}
    free |= {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}
    others = ["/grpc.health.v1.Health/List", "/grpc.reflection.v1alpha.ServerReflection/Nothing"]
    others.append("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    calls = 0
    address = guarded.grpc if port == "public" else guarded.control_grpc
    with grpc.insecure_channel(address) as channel:
        for method in [*grpc_methods(), *others]:
            for odd, metadata in itertools.product(ODD_METHODS, METADATA):
                if odd(method) in free:
                    continue
                call = channel.unary_unary(odd(method))
                with pytest.raises(grpc.RpcError) as caught:
                    call(b"", metadata=metadata, timeout=PATIENCE_S)
                assert caught.value.code() in REFUSED_CALLS, (odd(method), metadata)
                calls += 1
    figure(f"Keys: gRPC calls without one, {port} port", calls=calls, let_in=0)


@pytest.mark.parametrize("scope", ["predict", "metrics", "control"])
@pytest.mark.anyio
async def test_a_key_opens_what_it_is_for_in_every_form_and_nothing_else(
    guarded: Server, scope: str
) -> None:
    """An odd form of a path never needs less than the plain one."""
    key = f"X-API-Key: {KEYS[scope]}\r\n"
    wanted = [(method, odd(path), key) for path in paths() for odd in ODD for method in ("GET",)]
    own = {"predict": (b"foldserve_", b'"model_stats":[{'), "metrics": (b"swagger", b'"datatype"')}
    secrets = own.get(scope, (b"foldserve_", b'"model_stats":[{', b"swagger", b'"datatype"'))
    for answer in await ask_all(guarded.port, wanted):
        body = answer.text.partition(b"\r\n\r\n")[2]
        assert not any(secret in body for secret in secrets), answer
