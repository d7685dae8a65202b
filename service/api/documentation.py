"""How an endpoint stands in the OpenAPI document.

The endpoints take the raw request, so their parameters, bodies and errors are stated here
and not inferred from a signature.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import JSONResponse, Response

from service.api import schemas, triton_schemas, v1_schemas
from service.api.problems import CODE_HEADER, PLAIN_JSON, PROBLEM_JSON, protocol, title
from service.errors import (
    BodyTimeout,
    BodyTooLarge,
    DeadlineExceeded,
    ImageTooLarge,
    InferenceFailed,
    InternalError,
    InvalidEncoding,
    InvalidImage,
    ModelNotFound,
    ModelNotReady,
    NotReady,
    OutOfMemory,
    OutputNotFinite,
    Overloaded,
    QueueFull,
    RunTimedOut,
    ServiceError,
    ShuttingDown,
    UnsupportedEncoding,
    UnsupportedImage,
    VersionNotFound,
)

Endpoint = Any  # FastAPI takes any callable
# The errors of what many endpoints do: look a model up, read a body, decode images, run the model.
LOOK_UP = (ModelNotFound, VersionNotFound, ModelNotReady, NotReady)
READ_BODY = (BodyTooLarge, BodyTimeout, UnsupportedEncoding, InvalidEncoding)
DECODE = (InvalidImage, UnsupportedImage, ImageTooLarge)
RUN = (
    QueueFull,
    Overloaded,
    InferenceFailed,
    RunTimedOut,
    OutOfMemory,
    OutputNotFinite,
    ShuttingDown,
    DeadlineExceeded,
)
_REFERENCE = "#/components/schemas/{model}"
_TEXT = {"schema": {"type": "string"}}
_PARAMETERS = {
    "name": "A model of the repository.",
    "version": "One of the model's versions.",
}


def add(
    app: FastAPI,
    method: str,
    path: str,
    endpoint: Endpoint,
    *,
    answer: type[BaseModel] | None = None,
    errors: Sequence[type[ServiceError]] = (),
    query: Sequence[dict[str, Any]] = (),
    body: dict[str, Any] | None = None,
    body_required: bool = True,
    response_class: type[Response] = JSONResponse,
    other_answers: dict[str, Any] | None = None,
) -> None:
    """Add one endpoint to the app, with everything that its page says.

    Args:
        app: to add to.
        method: "GET" or "POST".
        path: the route's template.
        endpoint: takes the request alone; its docstring is its description.
        answer: the document of a 200.
        errors: that it may answer besides an internal error.
        query: OpenAPI parameters of the query.
        body: OpenAPI content of the request body.
        body_required: whether it may not be empty.
        response_class: of a 200 that is not JSON.
        other_answers: what else OpenAPI is told of a 200: its headers, its other content.
    """
    extra: dict[str, Any] = {"parameters": [*_path_parameters(path), *query]}
    if body is not None:
        extra["requestBody"] = {"required": body_required, "content": body}
    success: dict[str, Any] = {"description": "The answer.", **(other_answers or {})}
    if answer is not None:
        success["model"] = answer
    app.add_api_route(
        path,
        endpoint,
        methods=[method],
        response_model=None,
        response_class=response_class,
        responses={200: success, **error_responses(path, [*errors, InternalError])},
        openapi_extra=extra,
        tags=[protocol(path) or "Foldserve"],
    )
    if method == "GET":
        add_unlisted(app, path, endpoint, methods=["HEAD"])


def add_unlisted(
    app: FastAPI, path: str, endpoint: Endpoint, methods: Sequence[str] = ("GET", "HEAD")
) -> None:
    """Add one endpoint that the page does not list."""
    app.add_api_route(path, endpoint, methods=list(methods), include_in_schema=False)


def reference(document: type[BaseModel]) -> dict[str, str]:
    """Return the schema that stands for a document of ``add_components``."""
    return {"$ref": _REFERENCE.format(model=document.__name__)}


def add_components(app: FastAPI) -> None:
    """Define the documents that endpoints refer to by name: errors and request bodies."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        known = document.setdefault("components", {}).setdefault("schemas", {})
        if schemas.Problem.__name__ not in known:  # FastAPI keeps the document it made
            known |= _components()
        return document

    # FastAPI's documented way: https://fastapi.tiangolo.com/how-to/extending-openapi/
    app.openapi = openapi  # type: ignore[method-assign]


def _components() -> dict[str, Any]:
    documents = (
        schemas.Problem,
        schemas.InferenceError,
        schemas.InferenceRequest,
        triton_schemas.IndexRequest,
        triton_schemas.ControlRequest,
        v1_schemas.V1Request,
    )
    _, definitions = models_json_schema(
        [(document, "validation") for document in documents], ref_template=_REFERENCE
    )
    components: dict[str, Any] = definitions["$defs"]
    return components


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PARAMETERS[name],
            "schema": {"type": "string"},
        }
        for name in re.findall(r"{(\w+)}", path)
    ]


def error_responses(
    path: str, errors: Iterable[type[ServiceError]]
) -> dict[int | str, dict[str, Any]]:
    """Return the answers to a path's errors by their status, as OpenAPI has them."""
    plain = protocol(path) is not None
    media_type = PLAIN_JSON if plain else PROBLEM_JSON
    document = schemas.InferenceError if plain else schemas.Problem
    content = {media_type: {"schema": reference(document)}}
    by_status: dict[int, list[type[ServiceError]]] = defaultdict(list)
    for error in errors:
        by_status[error.status].append(error)
    return {
        status: {
            "description": "; ".join(f"`{each.code}`: {title(each)}" for each in group),
            "headers": {CODE_HEADER: _TEXT}
            | {name: _TEXT for each in group for name in each.headers},
            "content": content,
        }
        for status, group in sorted(by_status.items())
    }
