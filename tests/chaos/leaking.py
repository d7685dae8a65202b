"""The service with a leak: what the tests of what is left behind must see.

``python -m tests.chaos.leaking`` serves, and the variable ``LEAK`` says what stays of each request
that the app gets.
"""

import asyncio
import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from service.app import create_app
from service.processes import server
from service.processes.start import start
from tests.service.servers import Server, ready, started

LEAK = "LEAK"
BYTES = 64 * 2**10  # of which a thousand are seen

_kept: list[Any] = []

KINDS: dict[str, Callable[[Receive], object]] = {
    "bytes": lambda _receive: os.urandom(BYTES),
    "descriptors": lambda _receive: os.open(os.devnull, os.O_RDONLY),
    "tasks": lambda _receive: asyncio.create_task(asyncio.Event().wait()),
    "requests": lambda receive: receive,
}


@contextmanager
def leaking_server(kind: str, models: Path, **choices: object) -> Iterator[Server]:
    """A server of its own, with a leak."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(LEAK, kind)
        process = started("tests.chaos.leaking", models, choices)
    with ready(process) as running:
        yield running


class Leak:
    """Middleware that keeps something of each request.

    Args:
        app: that answers.
        kind: of what is kept.
    """

    def __init__(self, app: ASGIApp, kind: str) -> None:
        self._app = app
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            _kept.append(KINDS[self._kind](receive))
        await self._app(scope, receive, send)


def leaking_app(kind: str, *args: Any, **kwargs: Any) -> FastAPI:
    """Return the service's app with a leak around it."""
    app = create_app(*args, **kwargs)
    app.add_middleware(Leak, kind=kind)
    return app


def forget() -> None:
    """Let go of what was kept, where it was kept in a test's own process."""
    for each in _kept:
        if isinstance(each, asyncio.Task):
            each.cancel()
    _kept.clear()


def main() -> None:
    """Serve as ``python -m service`` does."""
    kind = os.environ[LEAK]
    vars(server)["create_app"] = functools.partial(leaking_app, kind)
    sys.exit(start())


if __name__ == "__main__":
    main()
