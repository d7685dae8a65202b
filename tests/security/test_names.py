"""A name that a client says is looked up among those of the registry, and never joined to a path.

Beside the repository of the real server lies a folder with models that would serve; whatever a
request calls them, over every route and method, they are not found and nobody opens them.
"""

import ctypes
import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no types
import httpx
import pytest
from fastapi.routing import APIRoute
from grpc import StatusCode

from service.app import create_app
from service.rpc.messages import SERVICE, protocol
from service.settings import Settings
from tests.chaos.load import LONG
from tests.security.test_intruders import Answer, ask_all
from tests.service import zoo
from tests.service.servers import PATIENCE_S, Server, server

# What a client may write in the place of a name: as it stands in a target.
NAMES = (
    "", ".", "..", "...", "%2e", "%2e%2e", "%2E%2E", "%252e%252e", ".%2e", "..%00",
    "../outside/secret", "..%2foutside%2fsecret", "..%2Foutside/secret",
    "%2e%2e%2foutside%2fsecret", "%252e%252e%252foutside%252fsecret", "..%5coutside%5csecret",
    "..\\outside\\secret", "good/../../outside/secret", "good%2f..%2f..%2foutside%2fsecret",
    "good/..;/../outside/secret", "....//outside//secret", "..%c0%afoutside%c0%afsecret",
    "..%e0%80%afoutside", "%c0%ae%c0%ae", "..%ef%bc%8foutside%ef%bc%8fsecret", "%ef%bc%8e%ef%bc%8e",
    "%e2%80%a5", "%uff0e%uff0e", "/outside/secret", "%2fetc%2fpasswd", "//etc/passwd",
    "file:%2f%2f%2fetc%2fpasswd", "~root", "C:%5cwindows", "%5c%5chost%5cshare", "secret",
    "outside", "outside%2fsecret", "good%00", "good%00.onnx", "%00good", "%00", "good%20",
    "%20good", "good.", "good..", "good%2e", "good%09", "good%0a", "good%0d%0aX-Injected:%20yes",
    "good%7f", "good%2f", "good%5c", "good%3f", "GOOD", "Good", "gooD", "%67%6f%6f%64%20",
    "%ef%bd%87ood", "go%d0%beod", "good%e2%80%8b", "good%cc%81", "%ef%bb%bfgood", "%e2%80%aegood",
    "good%ff", "%ff%fe", "good%2520", "good%2f1", "good%2f1%2fmodel.onnx", "good%2f1%2f..%2f1",
    "lock.json", ".hidden", "%2ehidden", "with%20space", "*", "%2a", "g*", "g%3f%3fd", "[g]ood",
    "{name}", "good;1", "good,1", "good%3b", "good%26", "-rf", "$(id)", "${jndi:ldap:x}", "{{7*7}}",
    "%25s", "a" * 255, "a" * 256, "a" * 5000, "%61" * 2000, "..%2f" * 500 + "etc%2fpasswd",
)  # fmt: skip
VERSIONS = (
    "", "0", "2", "01", "1.0", "1.", ".1", "+1", "-1", "1e0", "0x1", "1_0", "%31%20", "1%20",
    "%201", "1%00", "1%0a", "1%09", "1%2f", "1%2f..%2f1", "..%2f1", "..", "%2e%2e", "1%5c",
    "latest", "*", "1;", "1,2", "%ef%bc%91", "%d9%a1", "%e2%85%a0", "%c2%b9", "9" * 19, "9" * 400,
    "1" + "0" * 5000, "..%2f..%2foutside%2fsecret%2f1", "1%2f..%2f..%2f..%2foutside%2fsecret%2f1",
    "NaN", "true",
)  # fmt: skip

# The same for a protocol whose names are texts.
TEXTS = (
    ".", "..", "../outside/secret", "..\\outside\\secret", "good/../../outside/secret",
    "/etc/passwd", "../outside/secret/1", "secret", "good\0", "good\0/../../outside/secret", "\0",
    "good ", " good", "good.", "good/", "good/1", "good\\", "GOOD", "good\n", "\uff47ood",
    "go\u043ed", "good\u200b", "good\u0301", "\ufeffgood", "\u202egood", "%67ood", "%2e%2e",
    ".hidden", "with space", "*", "~", "a" * 300, "a" * 60_000, "../" * 1000 + "etc/passwd",
)  # fmt: skip


class Watch:
    """Sees whoever opens one of some folders, or a file in them (inotify(7))."""

    def __init__(self, *folders: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._handle = libc.inotify_init1(os.O_NONBLOCK)
        opened = 0x20
        for folder in folders:
            assert libc.inotify_add_watch(self._handle, os.fsencode(folder), opened) >= 0

    def opened(self) -> list[str]:
        """The files and folders that were opened since the last look."""
        try:
            events = os.read(self._handle, 2**16)
        except BlockingIOError:
            return []
        found, at = [], 0
        while at < len(events):
            (length,) = struct.unpack_from("I", events, at + 12)
            found.append(events[at + 16 : at + 16 + length].rstrip(b"\0").decode())
            at += 16 + length
        return found


@dataclass
class Guarded:
    """A server, and what must not be touched beside its repository."""

    server: Server
    watch: Watch
    secret: Path
    public: Any  # channels of gRPC
    control: Any
    tried: int = field(default=0)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    root = tmp_path_factory.mktemp("root")
    zoo.put(root / "models", "good", 1, zoo.doubler())
    # Folders of the repository whose names are no models', and what lies outside of it.
    for name in (".hidden", "with space", "..."):
        zoo.put(root / "models", name, 1, zoo.doubler())
    secret = zoo.put(root / "outside", "secret", 1, zoo.doubler())
    zoo.put(root, "secret", 1, zoo.doubler())
    watch = Watch(root / "outside", secret.parents[1], secret.parent, root / "secret")
    ports = {"GRPC_PORT": 0, "CONTROL_PORT": 0, "CONTROL_GRPC_PORT": 0}
    with server(root / "models", WORKERS=2, ACCESS_LOG="none", **ports) as running:
        running.control_grpc  # noqa: B018 -- the lines are read before they are asked for
        with (
            grpc.insecure_channel(running.grpc) as public,
            grpc.insecure_channel(running.control_grpc) as control,
        ):
            found = Guarded(running, watch, secret, public, control)
            yield found
        assert watch.opened() == []
        assert running.stop() == 0
    assert found.tried


def routes(*, of_versions: bool) -> list[tuple[str, str]]:
    """Every route that has a name in it, or a version as well, with its method."""
    return [
        (method, route.path)
        for route in create_app(Settings()).routes
        if isinstance(route, APIRoute) and "{name}" in route.path
        for method in route.methods or ()
        if ("{version}" in route.path) == of_versions and (LONG or method != "HEAD")
    ]


def targets() -> list[tuple[str, str, str]]:
    names = [
        (method, path.format(name=name), "")
        for method, path in routes(of_versions=False)
        for name in NAMES
    ]
    versions = [
        (method, path.format(name=name, version=version), "")
        for method, path in routes(of_versions=True)
        for name, version in (*((name, "1") for name in NAMES), *(("good", v) for v in VERSIONS))
    ]
    return names + versions


def wrong(answer: Answer) -> bool:
    """Whether it is anything but that there is no such thing; 400 and 414 are of no request."""
    body = answer.text.partition(b"\r\n\r\n")[2]
    known = b"datatype" in body or b"outputs" in body or b"X-Injected" in answer.text
    refusals = {404, 400, 414}
    if "/:predict" in answer.target:  # the name of a model that one may only ask about
        refusals.add(405)
    return known or not {*answer.statuses} <= refusals or not answer.statuses


@pytest.mark.anyio
@pytest.mark.parametrize("port", ["public", "control"])
async def test_no_name_but_one_of_the_registry_is_found(
    guarded: Guarded, port: str, figure: Callable[..., None]
) -> None:
    url = guarded.server.url if port == "public" else guarded.server.control
    number = int(url.rpartition(":")[2])
    asked = [each for each in targets() if port == "control" or not is_command(each[1])]
    answers = await ask_all(number, asked)
    assert [answer for answer in answers if wrong(answer)] == []
    not_found = sum(answer.statuses == [404] for answer in answers)
    assert not_found > 0.9 * len(answers)  # they are requests, most of them
    assert guarded.watch.opened() == []
    guarded.tried += len(answers)
    figure(f"Names that are none, {port} port", requests=len(answers), found=0)


def is_command(path: str) -> bool:
    return path.endswith(("/load", "/unload"))


@pytest.mark.anyio
async def test_the_search_finds_what_is_found(guarded: Guarded) -> None:
    """Else it would show nothing."""
    plain = [
        (method, path.format(name="good", version="1"), "")
        for versions in (True, False)
        for method, path in routes(of_versions=versions)
        if not is_command(path) and not path.endswith("predict")
    ]
    answers = await ask_all(guarded.server.port, plain)
    assert all({*answer.statuses} == {200} for answer in answers), answers
    assert all(map(wrong, answers))
    guarded.secret.read_bytes()
    assert guarded.watch.opened() == ["model.onnx"]


def call(channel: Any, method: str, **fields: Any) -> StatusCode:
    messages = protocol().messages
    request = getattr(messages, f"{method}Request")(**fields)
    try:
        channel.unary_unary(f"/{SERVICE}/{method}")(request.SerializeToString(), timeout=PATIENCE_S)
    except grpc.RpcError as error:
        code: StatusCode = error.code()
        return code
    return StatusCode.OK


TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 3], "contents": {"fp32_contents": [1] * 3}}
METHODS: dict[str, dict[str, Any]] = {
    "ModelInfer": {"inputs": [TENSOR]},
    "ModelReady": {},
    "ModelMetadata": {},
    "ModelConfig": {},
    "ModelStatistics": {},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("control", [False, True])
def test_no_name_but_one_of_the_registry_is_found_over_grpc(
    guarded: Guarded, method: str, control: bool
) -> None:
    channel = guarded.control if control else guarded.public
    name, version = ("name", "version")
    if method == "ModelInfer":
        name, version = ("model_name", "model_version")
    more = METHODS[method]
    for text in TEXTS:
        assert call(channel, method, **{name: text}, **more) is StatusCode.NOT_FOUND, text
        asked = {name: "good", version: text}
        assert call(channel, method, **asked, **more) is StatusCode.NOT_FOUND, text
    assert call(channel, method, **{name: "good", version: "1"}, **more) is StatusCode.OK
    assert guarded.watch.opened() == []
    guarded.tried += 2 * len(TEXTS)


@pytest.mark.parametrize("method", ["RepositoryModelLoad", "RepositoryModelUnload"])
def test_no_command_reaches_beyond_the_repository_over_grpc(guarded: Guarded, method: str) -> None:
    channel = guarded.control
    for text in ("", *TEXTS):
        code = call(channel, method, model_name=text)
        assert code is StatusCode.NOT_FOUND, text
        code = call(channel, method, model_name="good", repository_name=text)
        assert code is StatusCode.OK, text  # of a repository there is one, whatever it is called
        if method == "RepositoryModelUnload":
            assert call(channel, "RepositoryModelLoad", model_name="good") is StatusCode.OK
    assert guarded.watch.opened() == []
    guarded.tried += 2 * len(TEXTS)


OUT = ("../outside/secret", "../../outside/secret/1", "..\\outside", "1/../../outside", "1\0", "/")
CONFIGS = [
    *({"version_policy": {"specific": {"versions": [out]}}} for out in OUT),
    {"name": "../outside/secret"},
    {"default_model_filename": "../../outside/secret/1/model.onnx"},
    {"default_model_filename": "../../../outside/secret/1/model.onnx"},
    {"cc_model_filenames": {"8.0": "/etc/passwd"}},
    {"backend": "python"},
    {"model_warmup": [{"inputs": {"x": {"input_data_file": "/etc/passwd"}}}]},
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_a_configuration_of_a_load_names_no_file(guarded: Guarded, config: Any) -> None:
    body = {"parameters": {"config": json.dumps(config)}}
    url = f"{guarded.server.control}/v2/repository/models/good/load"
    answer = httpx.post(url, json=body, timeout=PATIENCE_S)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("parameters.config")
    guarded.tried += 1


@pytest.mark.parametrize(
    "name", ["file:1/model.onnx", "file:../../outside/secret/1/model.onnx", "file:/etc/passwd"]
)
def test_no_file_comes_with_a_load(guarded: Guarded, name: str) -> None:
    """As Triton takes them: it writes what comes, or joins the name to a folder."""
    body = {"parameters": {"config": "{}", name: "AAAA"}}
    url = f"{guarded.server.control}/v2/repository/models/good/load"
    answer = httpx.post(url, json=body, timeout=PATIENCE_S)
    assert answer.status_code == 400
    assert "not supported" in answer.json()["error"]
    guarded.tried += 1


def test_the_registry_is_what_it_was(guarded: Guarded) -> None:
    body = {"repository_name": "../outside"}
    url = f"{guarded.server.control}/v2/repository/index"
    for document in ({}, body):
        index = httpx.post(url, json=document, timeout=PATIENCE_S).json()
        assert [(each["name"], each["version"], each["state"]) for each in index] == [
            ("good", "1", "READY")
        ]
    assert guarded.watch.opened() == []
