"""The Open Inference Protocol v2 over REST, with JSON and binary tensors.

https://github.com/kserve/open-inference-protocol, ``specification/protocol/inference_rest.md``.
"""

import functools

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service import errors
from service.api import schemas
from service.api.direct import add_direct
from service.api.documentation import (
    DECODE,
    LOOK_UP,
    READ_BODY,
    RUN,
    add,
    add_unlisted,
    reference,
)
from service.api.exchange import Exchange, json_answer, service_of
from service.api.inference import run, written
from service.repository.metadata import model_metadata, server_metadata
from service.wire.inference_request import HEADER_LENGTH, read_header_length, read_length
from service.wire.inference_response import write_response

_HEADER_LENGTH = HEADER_LENGTH.lower().encode()

_INFER = (
    *LOOK_UP,
    errors.InvalidJSON,
    errors.InvalidRequest,
    errors.InvalidTensor,
    errors.BatchTooLarge,
    *READ_BODY,
    *DECODE,
    *RUN,
)
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_BODY = {"application/json": {"schema": reference(schemas.InferenceRequest)}, **_BYTES}
_BINARY_ANSWER = {
    "content": _BYTES,
    "headers": {
        HEADER_LENGTH: {
            "description": "Bytes of the JSON, behind which the bytes of the tensors stand; absent"
            " where all is JSON.",
            "schema": {"type": "integer", "minimum": 1},
        }
    },
}
_BINARY = {
    "name": HEADER_LENGTH,
    "in": "header",
    "required": False,
    "description": "Bytes of the JSON, behind which the bytes of the tensors stand; 0: the body is"
    " one tensor or one image.",
    "schema": {"type": "integer", "minimum": 0},
}


def add_endpoints(app: FastAPI) -> None:
    """Add the endpoints of this module."""
    add(app, "GET", "/v2", server, answer=schemas.ServerMetadata)
    add_unlisted(app, "/v2/", server)
    for prefix in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        add(app, "GET", prefix, metadata, answer=schemas.ModelMetadata, errors=LOOK_UP)
        add(app, "GET", f"{prefix}/ready", ready, answer=schemas.ModelReady, errors=LOOK_UP)
        add_direct(
            app,
            f"{prefix}/infer",
            infer,
            answer=schemas.InferenceResponse,
            errors=_INFER,
            query=[_BINARY],
            body=_BODY,
            other_answers=_BINARY_ANSWER,
        )


async def server(_request: Request) -> Response:
    """Say what the server is."""
    return json_answer(server_metadata())


async def metadata(request: Request) -> Response:
    """Show the signature of a model."""
    name, version = request.path_params["name"], request.path_params.get("version")
    return json_answer(model_metadata(service_of(request).repository, name, version))


async def ready(request: Request) -> Response:
    """Say whether a model can answer."""
    entry = service_of(request).repository.ready(**request.path_params)
    return json_answer({"name": entry.name, "ready": True})


async def infer(exchange: Exchange) -> None:
    """Run a model on tensors or encoded images, as JSON or as bytes behind it."""
    entry, predictor = exchange.serving()
    manifest = predictor.model.manifest
    labels = manifest.labels if manifest else None
    with entry.in_use:
        body = await exchange.read_body()
        length = read_header_length(exchange.header(_HEADER_LENGTH), len(body))
        read = functools.partial(predictor.reader.read, body, length)
        size = read_length(body, length)
        asked, outputs = await run(exchange, predictor, size, read)
        write = functools.partial(write_response, entry.name, entry.version, asked, outputs, labels)
        answer = await written(exchange, predictor, outputs, write)
    if answer.header_length is None:
        return await exchange.answer(answer.body)
    headers = [(_HEADER_LENGTH, b"%d" % answer.header_length)]
    return await exchange.answer(answer.body, b"application/octet-stream", headers)
