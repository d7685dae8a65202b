"""Triton's extensions for those who look after models: configuration, statistics, repository.

https://github.com/triton-inference-server/server, ``docs/protocol/``.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service import errors, management
from service.api import triton_schemas as schemas
from service.api.control_port import require_control_port, takes_commands
from service.api.documentation import LOOK_UP, READ_BODY, add, reference
from service.api.exchange import json_answer, read_body, service_of
from service.errors import InvalidJSON, InvalidRequest
from service.lifecycle import Service

# A configuration that a command carries is a few kilobytes.
_MOST_BYTES = 2**16

_BODY = (errors.InvalidJSON, errors.InvalidRequest, *READ_BODY)
_CONTROL = (errors.ControlPlaneOff, errors.ModelNotFound, errors.LoadFailed, errors.NotReady)


def add_endpoints(app: FastAPI) -> None:
    """Add the endpoints of this module."""
    statistics = schemas.ModelStatistics
    # Before the endpoint of a model: "stats" would be one.
    add(app, "GET", "/v2/models/stats", all_stats, answer=statistics, errors=(errors.NotReady,))
    for prefix in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        add(app, "GET", f"{prefix}/config", config, answer=schemas.ModelConfig, errors=LOOK_UP)
        add(app, "GET", f"{prefix}/stats", stats, answer=statistics, errors=LOOK_UP)
    add(
        app,
        "POST",
        "/v2/repository/index",
        index,
        answer=schemas.RepositoryIndex,
        errors=(*_BODY, errors.NotReady),
        body={"application/json": {"schema": reference(schemas.IndexRequest)}},
        body_required=False,
    )
    for command in (load, unload):
        add(
            app,
            "POST",
            f"/v2/repository/models/{{name}}/{command.__name__}",
            command,
            answer=schemas.Done,
            errors=(*_BODY, *_CONTROL),
            body={"application/json": {"schema": reference(schemas.ControlRequest)}},
            body_required=False,
        )


async def config(request: Request) -> Response:
    """Show a model's configuration as Triton's clients read it."""
    return json_answer(management.config(service_of(request), *_named(request)))


async def all_stats(request: Request) -> Response:
    """Show what every model has done since the start."""
    return json_answer({"model_stats": management.statistics(service_of(request))})


async def stats(request: Request) -> Response:
    """Show what a model has done since the start, by version."""
    found = management.statistics(service_of(request), *_named(request))
    return json_answer({"model_stats": found})


async def index(request: Request) -> Response:
    """List every version with its state; `{"ready": true}` leaves out those that cannot answer."""
    only_ready = (await _document(request)).get("ready", False)
    if not isinstance(only_ready, bool):
        raise InvalidRequest("ready must be true or false")
    with_new = takes_commands(request)
    found = await management.index(service_of(request), only_ready=only_ready, with_new=with_new)
    return json_answer(found)


async def load(request: Request) -> Response:
    """Serve what is in a model's folder now; what cannot be loaded leaves what was served."""
    return await _command(request, management.load)


async def unload(request: Request) -> Response:
    """Serve a model no longer; requests that came before are answered first."""
    return await _command(request, management.unload)


async def _command(
    request: Request, command: Callable[[Service, str, Mapping[str, Any]], Awaitable[None]]
) -> Response:
    service = service_of(request)
    require_control_port(request)  # before anything is read of who may not command
    parameters = (await _document(request)).get("parameters")
    stated = _object("parameters", {} if parameters is None else parameters)
    await command(service, request.path_params["name"], stated)
    return json_answer({})


def _named(request: Request) -> tuple[str, str | None]:
    return request.path_params["name"], request.path_params.get("version")


async def _document(request: Request) -> dict[str, Any]:
    """Return the JSON object of a body that may be empty."""
    body = await read_body(request.scope, request.receive, service_of(request), _MOST_BYTES)
    try:
        return _object("the request", orjson.loads(body or b"{}"))
    except orjson.JSONDecodeError as error:
        raise InvalidJSON(f"the body is not JSON: {error.msg} at byte {error.pos}") from None


def _object(field: str, item: object) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise InvalidRequest(f"{field} must be a JSON object")
    return item
