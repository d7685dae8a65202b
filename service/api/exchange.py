"""Reading a request's body and writing an answer, for every endpoint."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from service.errors import BodyTimeout, BodyTooLarge, UnsupportedEncoding
from service.lifecycle import Service

Answer = TypeVar("Answer")


def service_of(request: Request) -> Service:
    """Return the service that the app was composed with."""
    service: Service = request.app.state.service
    return service


async def read_body(request: Request) -> bytes:
    """Return the whole body, which may come without a content type and without a length.

    Raises:
        BodyTooLarge: by its stated or its real length; no more than the bound is kept.
        BodyTimeout: nothing came for as long as a request may take.
        UnsupportedEncoding: the body is compressed.
        ClientDisconnect: the client went away.
    """
    settings = service_of(request).settings
    limit = settings.max_body_bytes
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedEncoding("send the body without a Content-Encoding")
    stated = request.headers.get("content-length", "0")
    if stated.isdecimal() and int(stated) > limit:
        raise _too_large(limit)
    return await _receive(request, limit, settings.request_timeout_s)


async def _receive(request: Request, limit: int, patience_s: float) -> bytes:
    chunks: list[bytes] = []
    length = 0
    while True:
        try:
            async with asyncio.timeout(patience_s):  # of each piece: a slow client is no dead one
                message = await request.receive()
        except TimeoutError:
            raise BodyTimeout(f"nothing of the body came for {patience_s:g} seconds") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        length += len(chunk)
        if length > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def while_connected(request: Request, answer: Awaitable[Answer]) -> Answer:
    """Return what is awaited; it is cancelled at once if the client goes away.

    Args:
        request: whose body has been read, so that the next message is the connection's end.
        answer: what the client waits for.

    Raises:
        ClientDisconnect: the client went away.
    """
    work = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientDisconnect
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def json_answer(content: Any) -> Response:
    """Return a 200 answer; arrays and dataclasses in it are written without a detour."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, media_type="application/json")


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes")
