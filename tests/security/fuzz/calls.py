"""Damaged calls of gRPC: of each method, as bytes that no client library has written."""

import time
from collections.abc import Callable, Iterator
from random import Random

import grpc  # type: ignore[import-untyped]  # the wheel has no types
from grpc import aio

from service.rpc.messages import SERVICE, protocol
from tests.security.fuzz import damage, seeds
from tests.security.fuzz.judgement import Search
from tests.security.fuzz.target import PATIENCE_S, share
from tests.service.rpc.frames import connection

Call = tuple[str, bytes]
"""A method's name and the bytes of its message."""


def inferences(seed: int) -> Iterator[Call]:
    """Yield damaged messages of ``ModelInfer``, and sometimes of another method."""
    chance = Random(seed)  # noqa: S311 -- no secret
    whole, others = seeds.calls(), _others()
    while True:
        if chance.random() < 0.9:
            yield "ModelInfer", damage.call(chance, chance.choice(whole))
        else:
            name, message = chance.choice(others)
            yield name, damage.call(chance, message)


def commands(seed: int) -> Iterator[Call]:
    """Yield damaged messages of those who look after models."""
    chance = Random(seed)  # noqa: S311 -- no secret
    messages = protocol().messages
    configs = [each.decode() for each in seeds.policies()]
    while True:
        text = damage.document(chance, chance.choice(configs).encode()).decode("utf-8", "replace")
        load = messages.RepositoryModelLoadRequest(model_name="m")
        load.parameters["config"].string_param = text
        unload = messages.RepositoryModelUnloadRequest(model_name="two")
        name, message = chance.choice((("Load", load), ("Load", load), ("Unload", unload)))
        sent = message.SerializeToString()
        if chance.random() < 0.5:
            sent = damage.call(chance, sent)
        yield f"RepositoryModel{name}", sent


def connections(seed: int) -> Iterator[bytes]:
    """Yield damaged bytes of connections, HTTP/2 with a call in it."""
    chance = Random(seed)  # noqa: S311 -- no secret
    path = f"/{SERVICE}/ModelInfer".encode()
    whole = [connection(path, each) for each in seeds.calls()[:3]]
    whole.append(connection(f"/{SERVICE}/ServerLive".encode(), b""))
    while True:
        yield damage.blind(chance, chance.choice(whole))


async def call_all(
    search: Search,
    address: str,
    calls: Iterator[Call],
    seconds: float = 3600.0,
    alive: Callable[[], bool] = lambda: True,
) -> None:
    """Make each call; stop after so many seconds, or when a worker died."""

    async def one(call: Call) -> bool:
        name, message = call
        began = time.monotonic()
        code, details = await _call(channel, name, message)
        hung = time.monotonic() - began > PATIENCE_S
        search.take_call(name.encode() + b"\n" + message, None if hung else code, details)
        if code == "UNAVAILABLE" and not alive():
            search.blame(message, b"a worker died meanwhile")
            return False
        return True

    async with aio.insecure_channel(address) as channel:
        await share(one, calls, seconds)


def as_call(data: bytes) -> Call:
    """Return the call of a line with a method's name, and the message."""
    name, _, message = data.partition(b"\n")
    return name.decode(), message


async def _call(channel: aio.Channel, name: str, message: bytes) -> tuple[str, str]:
    try:
        # Without serializers: what is sent is these bytes, and what comes back is bytes.
        await channel.unary_unary(f"/{SERVICE}/{name}")(message, timeout=2 * PATIENCE_S)
    except aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    return grpc.StatusCode.OK.name, ""


def _others() -> list[Call]:
    messages = protocol().messages
    found: dict[str, dict[str, object]] = {
        "ServerLive": {},
        "ServerMetadata": {},
        "ModelReady": {"name": "m", "version": "1"},
        "ModelMetadata": {"name": "two"},
        "ModelConfig": {"name": "brightness", "version": "1"},
        "ModelStatistics": {"name": "m"},
        "RepositoryIndex": {"ready": True},
        "RepositoryModelLoad": {"model_name": "m"},
        "RepositoryModelUnload": {"model_name": "m"},
    }
    return [
        (name, getattr(messages, f"{name}Request")(**fields).SerializeToString())
        for name, fields in found.items()
    ]
