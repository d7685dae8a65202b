"""The direct lane: inference endpoints as plain ASGI inside the app.

The framework finds a route by trying one after the other, resolves dependencies and unwinds
exit stacks: more work than a small network. So the paths of these endpoints are looked up
before it; the same endpoints stand in its routes, and so in the OpenAPI document.
"""

import functools
from collections.abc import Awaitable, Callable
from re import Pattern
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.documentation import add
from service.api.exchange import Exchange
from service.api.failures import answer_of
from service.errors import ServiceError

DirectEndpoint = Callable[[Exchange], Awaitable[None]]


def add_direct(app: FastAPI, path: str, endpoint: DirectEndpoint, **documentation: Any) -> None:
    """Add an inference endpoint, a POST.

    Args:
        app: to add to.
        path: the route's template, with the parameter ``name`` and maybe ``version``.
        endpoint: answers an exchange or raises a ``ServiceError``.
        documentation: what ``documentation.add`` takes.
    """

    # The framework reads an endpoint's name and words from a function of its own kind.
    @functools.wraps(endpoint, assigned=("__name__", "__doc__"))
    async def described(_request: Request) -> None: ...

    del described.__wrapped__  # whose arguments are no request's
    add(app, "POST", path, described, **documentation)
    app.routes[-1].app = _Plain(endpoint)  # type: ignore[attr-defined]  # an APIRoute has one


def direct_routes(app: FastAPI) -> list[APIRoute]:
    """Return the routes of the direct lane, in the order of their paths' length.

    Without a version a path is the shorter one and the more frequent.
    """
    found = [
        route
        for route in app.routes
        if isinstance(route, APIRoute) and isinstance(route.app, _Plain)
    ]
    return sorted(found, key=lambda route: len(route.path))


class DirectLane:
    """Middleware that hands a request on the direct lane to its endpoint.

    Args:
        app: takes every other request.
        routes: of the direct lane.
    """

    def __init__(self, app: ASGIApp, routes: list[APIRoute]) -> None:
        self._app = app
        self._routes: list[tuple[Pattern[str], APIRoute]] = [
            (route.path_regex, route) for route in routes
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and scope["method"] == "POST":
            for pattern, route in self._routes:
                match = pattern.match(scope["path"])
                if match is not None:
                    scope["path_params"] = match.groupdict()
                    scope["route"] = route
                    await route.app(scope, receive, send)
                    return
        await self._app(scope, receive, send)


class _Plain:
    """An endpoint as an ASGI app."""

    def __init__(self, endpoint: DirectEndpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        try:
            await self._endpoint(exchange)
        except ServiceError as error:
            scope["state"]["error"] = error
            answer = answer_of(error, scope["path"], scope["state"]["request_id"])
            await exchange.send(answer.status, answer.body, answer.raw_headers)
